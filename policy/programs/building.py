"""Build tools and package managers."""

TABLE = r"""
make|gmake: -j,--jobs? -k,--keep-going -n,--just-print,--dry-run,--recon -s,--silent,--quiet -B,--always-make -i,--ignore-errors -q,--question -r,--no-builtin-rules -R,--no-builtin-variables -w,--print-directory --no-print-directory -l,--load-average? -O,--output-sync? -d --debug? -p,--print-data-base -t,--touch -W,--what-if,--new-file,--assume-new= -o,--old-file,--assume-old= --trace --warn-undefined-variables -v,--version -h,--help !-C,--directory= !-f,--file,--makefile= !-I,--include-dir= !-E,--eval= !-e,--environment-overrides
just: -l,--list -n,--dry-run -q,--quiet -v,--verbose --summary --no-deps --color= !-f,--justfile= !-d,--working-directory= !--shell= !--shell-arg= !-c,--command= !--dotenv-path= !--set= !--chooser= !-e,--edit !-g,--global-justfile
task: -l,--list -a,--list-all -n,--dry -s,--silent -v,--verbose -f,--force -p,--parallel !-t,--taskfile= !-d,--dir= !-g,--global
ninja: -v,--verbose -n -j= -k= -l= --quiet -w= !-C= !-f= !-t= !-d=
cmake: --version --help -N -LA -L --preset= --list-presets --build= -j,--parallel? --target,-t= --config= --clean-first -v,--verbose !-P= !-E= !-C= !-D= !-G= !-S= !-B= !--install= !-T= !--toolchain= !-A= !-U= !--open=
ctest: -V,--verbose -VV -N -R=t -E=t -L= -j,--parallel= --output-on-failure -Q,--quiet --rerun-failed --timeout= --stop-on-failure --repeat= --test-dir= !-S,--script= !-D= !--build-and-test= !-O=w !-T= !-C=
meson|bazel|buck|scons|ant|nix|nix-shell|nix-build: :ask
gradle|./gradlew: -q,--quiet -i,--info -d,--debug -s,--stacktrace --no-daemon --daemon --offline --parallel --continue -x,--exclude-task= --rerun-tasks --build-cache --no-build-cache -m,--dry-run --console= --warning-mode= --tests=t --status --refresh-dependencies !-I,--init-script= !-b,--build-file= !-c,--settings-file= !-p,--project-dir= !-P,--project-prop= !-D,--system-prop= !-g,--gradle-user-home= !--include-build=
mvn|./mvnw: -q,--quiet -B,--batch-mode -o,--offline -X,--debug -e,--errors -U,--update-snapshots -T,--threads= -pl,--projects= -am,--also-make -fae -ff -fn -N,--non-recursive -ntp,--no-transfer-progress -v,--version !-f,--file= !-s,--settings= !-gs,--global-settings= !-D,--define= !-t,--toolchains= !-l,--log-file=w !-P,--activate-profiles=
gcc|g++|cc|c++|clang|clang++: :single -c -o=w -O0 -O1 -O2 -O3 -Os -Og -Ofast -O -g -g0 -g1 -g2 -g3 -Wall -Wextra -Werror -Wpedantic -pedantic -w -std= -fsyntax-only -E -S -v -shared -static -fPIC -fpic -pthread -march= -mtune= -MM -M -MD -MMD -l= -L= -I= -D= -U= --version -dumpversion -dumpmachine -fno-exceptions -fno-rtti -fsanitize= -fdiagnostics-color? -m32 -m64 -pipe
ld|as|objcopy|strip|clang-cl: :ask
objdump|nm|readelf|size|ldd-text: :any !--plugin=
clang-format: -n,--dry-run --Werror --style= --version -i,-- !--assume-filename=
clang-tidy: -p= --checks= --quiet --list-checks
cargo: :sub -q,--quiet -v,--verbose -V,--version --list --offline --locked --frozen --color= --explain= !--config= !-C= !-Z=
cargo common: -q,--quiet -v,-vv,--verbose --color= --locked --offline --frozen -p,--package= --workspace --all --exclude=t -j,--jobs= --keep-going --lib --bins --bin= --examples --example= --tests --test= --benches --bench= --all-targets -F,--features= --all-features --no-default-features -r,--release --profile= --target= --message-format= --timings? --future-incompat-report --ignore-rust-version !--config= !--manifest-path= !--target-dir=w !-C= !-Z= !--lockfile-path=w !--artifact-dir,--out-dir=w
cargo build|cargo b|cargo check|cargo c|cargo doc|cargo d|cargo rustdoc: :rest @cargo_common --no-deps --document-private-items !--open
cargo clippy: :rest @cargo_common --no-deps !--fix --allow-dirty --allow-staged
cargo test|cargo t|cargo bench: :rest @cargo_common --no-run --no-fail-fast --doc
cargo nextest: :sub
cargo nextest run: :rest @cargo_common --no-fail-fast --retries= -E=t --no-capture !--config-file= !--tool-config-file=
cargo run|cargo r: :rest :first @cargo_common
cargo fmt: :rest --all -p,--package= --check -q,--quiet -v,--verbose --message-format= !--manifest-path=
cargo tree|cargo metadata|cargo version|cargo search|cargo info|cargo pkgid|cargo locate-project|cargo verify-project: @cargo_common -e,--edges= -i,--invert? -d,--duplicates --depth= --prefix= --no-dedupe --charset= -f,--format=t --format-version= --no-deps --limit=
cargo clean|cargo fetch|cargo update|cargo generate-lockfile: @cargo_common --doc -n,--dry-run --precise= --recursive -w,--workspace
cargo install|cargo add|cargo remove|cargo publish|cargo yank|cargo login|cargo owner|cargo fix|cargo init|cargo new|cargo vendor|cargo uninstall|cargo package|cargo rustc: :ask
rustc: --version -V -v,--verbose --explain= --print=
rustfmt: --check --edition= -q,--quiet -v,--verbose -l,--files-with-diff --color= !--config-path= !--config= --emit=
rustup: :sub
rustup show|rustup check: -v,--verbose
go: :sub
go common: :single -v -x -n -a -race -msan -asan -cover -short -p= -tags= -mod= -trimpath -work -count= -run=t -skip=t -bench=t -benchmem -benchtime= -timeout= -parallel= -cpu= -failfast -json -list=t -shuffle= -covermode= -coverpkg= -buildvcs= -m -f=t -u -e -deps -test -find -compiled -export -versions -retracted -c=  -all -vet= -fullpath !-coverprofile=w !-exec= !-toolexec= !-vettool= !-o=w !-C= !-modfile= !-overlay= !-ldflags= !-gcflags= !-asmflags= !-gccgoflags= !-compiler= !-pkgdir= !-cpuprofile=w !-memprofile=w !-blockprofile=w !-mutexprofile=w !-trace=w !-outputdir=w !-pgo= !-installsuffix= !-testlogfile=w !-modcacherw !-fuzz=
go test: :single :tests @go_common
go build|go vet|go list: :single @go_common -fix
go fmt|go doc|go version|go help: :single -n -x -all -src -u -c -cmd -short -m -v
go env: :single -json -changed !-w !-u
go mod: :sub
go mod tidy|go mod verify|go mod download|go mod graph|go mod why: :single -v -x -json -e -m -go= -compat= -diff
go run|go generate|go get|go install|go tool|go clean|go work|go mod edit|go mod init|go mod vendor|go bug|go telemetry: :ask
gofmt|goimports: :single -l -d -s -e !-w !-r= !-cpuprofile=w !-local=
golangci-lint: :sub
golangci-lint run: -v,--verbose --fast --timeout= --new --tests? --out-format= -E,--enable= -D,--disable= !-c,--config= !--fix !--modules-download-mode= !--cpu-profile-path=w
npm: :sub -s,--silent -q,--quiet -d,--verbose -v,--version -h,--help --loglevel= -ws,--workspaces -w,--workspace= --no-fund --no-audit --no-color --color? --if-present --json !--prefix,-C= !--script-shell= !--userconfig= !--globalconfig= !--registry= !--node-options= !--shell= !-g,--global !--location=
npm run|npm run-script|npm rum: :rest @npm --ignore-scripts -p,--parseable
npm test|npm start|npm stop|npm restart: :rest @npm --ignore-scripts
npm ci|npm install|npm i|npm add: @npm -D,--save-dev -P,--save-prod -O,--save-optional -E,--save-exact --no-save -S,--save --ignore-scripts --legacy-peer-deps --omit= --include= --no-optional --prefer-offline --offline --dry-run --package-lock-only --no-package-lock --production --force -f --strict-peer-deps --progress? --no-progress
npm ls|npm list|npm la|npm ll|npm outdated|npm view|npm info|npm show|npm v|npm audit|npm why|npm explain|npm root|npm bin|npm prefix|npm ping|npm search|npm doctor|npm fund|npm whoami: @npm --depth= -a,--all -l,--long -p,--parseable --production --omit= --audit-level= --dry-run --package-lock-only
npm uninstall|npm remove|npm rm|npm un|npm unlink|npm update|npm up|npm dedupe|npm prune|npm version: @npm -D,--save-dev -S,--save --no-save --no-git-tag-version -m,--message=t --dry-run
npm exec|npm x|npm init|npm create|npm publish|npm unpublish|npm deprecate|npm dist-tag|npm login|npm adduser|npm token|npm owner|npm config|npm set|npm get|npm c|npm pkg|npm link|npm ln|npm rebuild|npm rb|npm edit|npm explore|npm hook|npm cache|npm pack|npm access|npm org|npm profile|npm team|npm shrinkwrap: :ask
yarn|pnpm: :own :rest -s,--silent --json -v,--version -h,--help --frozen-lockfile --immutable --offline --prefer-offline --production -r,--recursive -D,--dev,--save-dev -E,--exact -W --verbose --no-progress --non-interactive --ignore-scripts --check-files -P,--save-prod -w,--workspace-root --coverage --watch? --watchAll? --ci --bail --silent --fix --check --list --runInBand -i -t=t -u --updateSnapshot --testNamePattern=t --testPathPattern=t --maxWorkers= --passWithNoTests --noEmit --reporter= --run --no-bail --stream --parallel --filter,-F=t !-C,--cwd,--dir= !--use-yarnrc= !--modules-folder=w !--registry= !--script-shell= !--shell-mode,-c !--global-dir= !--prefix= !--config= !--rcfile= !--scripts-prepend-node-path= !--mutex= !--cache-folder=w !-g,--global !--node-options= !--shamefully-hoist !--prod
npx|pnpx|bunx|uvx|pipx|yarnpkg|corepack: :ask
bun: :sub
bun test: --watch --coverage --bail? -t,--test-name-pattern=t --timeout= --only --todo --rerun-each= -u,--update-snapshots
bun run: :rest :first --silent --if-present --watch
bun install: --frozen-lockfile --production --no-save --dry-run --ignore-scripts --verbose --silent -p
deno: :sub
deno fmt|deno lint|deno check: --check --watch --json --rules --quiet -q !--config= !-c=
deno test: --watch --fail-fast --coverage? --parallel -q,--quiet --filter=t --no-check --doc --allow-read? --allow-none
node_modules/.bin/tsc|tsc: -p,--project= --noEmit -w,--watch --pretty --strict --skipLibCheck -b,--build --listFiles --showConfig -v,--version --incremental --diagnostics --extendedDiagnostics -h,--help !--outDir=w !--outFile=w !--rootDir= !--plugins= !--generateTrace=w !--generateCpuProfile=w !--declarationDir=w !--tsBuildInfoFile=w
eslint: --fix --fix-dry-run --ext= --quiet --max-warnings= -f,--format= --cache --no-cache --no-ignore --color --no-color --debug --report-unused-disable-directives --no-eslintrc --no-error-on-unmatched-pattern --env= --global= --rule=t --stdin --print-config= -v,--version -h,--help !-c,--config= !--plugin= !--rulesdir= !--resolve-plugins-relative-to= !--parser= !-o,--output-file=w !--cache-location=w !--cache-file=w !--ignore-path= !--init !--parser-options= !--flag=
prettier: -c,--check -l,--list-different -w,--write --no-config --loglevel,--log-level= -u,--ignore-unknown --no-color --no-error-on-unmatched-pattern --tab-width= --print-width= --single-quote --no-semi --trailing-comma= --use-tabs --parser= --end-of-line= --prose-wrap= -v,--version -h,--help --cache --debug-check --no-editorconfig --with-node-modules !--config= !--plugin= !--plugin-search-dir= !--ignore-path= !--find-config-path= !--cache-location=w !--stdin-filepath=
jest|vitest|mocha|ava|tap|jasmine|karma: :own --coverage --watch? --watchAll? --ci --bail? --verbose --silent -i,--runInBand -t,--testNamePattern=t -u,--updateSnapshot --maxWorkers= --passWithNoTests --testPathPattern=t --testPathPatterns=t -o,--onlyChanged --no-cache --colors --color --no-color --listTests --run --reporter= -w --changedSince= --detectOpenHandles --forceExit --findRelatedTests --json --grep=t -g=t --timeout= --retries= --exit --parallel --selectProjects= --shard= --logHeapUsage -f --debug --help --version
webpack|vite|rollup|esbuild|parcel|next|nuxt|astro|turbo|nx|lerna|gulp|grunt: :own --watch --mode= --production --silent --verbose --dry-run --host? --port= --strictPort --stats? --profile --progress --debug --minify --sourcemap? --filter= --all --parallel= --force --no-cache
pip|pip3: :sub -q,--quiet -v,--verbose --disable-pip-version-check --no-input --no-color --version -V !--proxy= !--python= !--cert= !--client-cert= !--trusted-host= !--log=w !--isolated !--cache-dir=w !--require-virtualenv !--exists-action= !--keyring-provider=
pip install|pip3 install: -q,--quiet -v,--verbose -r,--requirement= -c,--constraint= -U,--upgrade --upgrade-strategy= --no-deps --user --dry-run --force-reinstall -I,--ignore-installed --no-cache-dir --no-input --disable-pip-version-check --pre --only-binary= --prefer-binary --require-hashes --progress-bar= --no-color --no-compile --compile --timeout= --retries= !-e,--editable= !-i,--index-url,--pypi-url= !--extra-index-url= !--no-index !-f,--find-links= !--trusted-host= !--proxy= !-t,--target=w !--root=w !--prefix=w !--src=w !--config-settings,-C= !--global-option= !--no-build-isolation !--no-binary= !--break-system-packages !--python= !--cert= !--log=w !--report=w !--cache-dir=w
pip list|pip show|pip freeze|pip check|pip3 list|pip3 show|pip3 freeze|pip3 check|pip inspect|pip debug: -o,--outdated -u,--uptodate -e,--editable -l,--local --user --format= -f,--files -v,--verbose -q,--quiet --not-required --all --exclude= --exclude-editable
pip uninstall|pip3 uninstall: -y,--yes -q,--quiet -r,--requirement=
pip download|pip wheel|pip config|pip cache|pip index|pip hash|pip search|pip3 download|pip3 wheel|pip3 config|pip3 cache: :ask
uv: :sub -q,--quiet -v,--verbose --offline --no-progress --color= -V,--version -h,--help !--directory= !--project= !--config-file= !--cache-dir=w !--allow-insecure-host=
uv run: :rest :wraps -q,--quiet -v,--verbose --frozen --locked --no-sync --offline --no-progress --all-extras --extra= --group= --dev --no-dev --all-groups --only-group= --isolated --exact --no-project !--with= !--with-editable= !--with-requirements= !--directory= !--project= !--python,-p= !--index= !--index-url,-i= !--default-index= !--extra-index-url= !--find-links,-f= !--env-file= !--script,-s !--module,-m= !--config-file= !--package= !--cache-dir=w
uv sync|uv lock|uv tree: -q,--quiet -v,--verbose --frozen --locked --check --dry-run --all-extras --extra= --group= --dev --no-dev --all-groups --offline -U,--upgrade -P,--upgrade-package= --depth= --outdated --invert --no-install-project
uv pip: :sub
uv pip list|uv pip show|uv pip freeze|uv pip check|uv pip tree: -q,--quiet -v,--verbose --format= --outdated -e,--editable --strict
uv add|uv remove|uv tool|uv venv|uv python|uv init|uv build|uv publish|uv cache|uv self|uv pip install|uv pip compile|uv pip sync|uv pip uninstall|uv x: :ask
poetry|pipenv|hatch|pdm|rye|tox|nox|conda|mamba: :ask
gem|bundle|rake|composer|apt|apt-get|apt-cache|dnf|yum|brew|pacman|apk|snap|port|dpkg|rpm: :own -q,--quiet -y,--yes,--assume-yes -v,--verbose -V --version -s,--simulate,--dry-run,--just-print --no-install-recommends --no-ansi -n,--no-interaction --no-dev --fix-missing -u --only-upgrade -T,--tasks -P,--prereqs -l -L -s -S -a,--all --json --installed --local --jobs= --no-update
rspec|minitest|rubocop|phpunit|phpstan|psalm|pest: :own -f,--format= -e,--example=t --fail-fast? -c,--color --no-color -w,--warnings -p,--profile? --seed= --order= --parallel --only= --except= -l,--lint --filter=t --testsuite= --stop-on-failure --debug --verbose -v -d --display-cop-names -D
dotnet: :own -c,--configuration= -f,--framework= -v,--verbosity= -q,--quiet --no-restore --no-build --release --filter=t --nologo -l,--logger= --no-incremental !-o,--output=w !-r,--runtime= !--settings=
swift|xcodebuild|flutter|dart|mix|sbt|lein|stack|cabal|zig|elm|ghc: :own -v,--verbose -q,--quiet --no-restore --no-build --release --coverage --trace --filter=t --nologo -w,--watch --only= --stale --failed --max-failures= --seed= --color --no-color
"""

"""Programs that read and print text."""

TABLE = r"""
echo: :plain -n -e -E
printf: !-v=
cat|tac: :plain :any -n
ls: :plain :any
wc: :plain -c,--bytes -m,--chars -l,--lines -L,--max-line-length -w,--words --total= !--files0-from=
head: :plain -n,--lines=t -c,--bytes=t -q,--quiet,--silent -v,--verbose -z,--zero-terminated -N
tail: :plain -n,--lines=t -c,--bytes=t -f,--follow? -F --retry --pid= -s,--sleep-interval= --max-unchanged-stats= -q,--quiet,--silent -v,--verbose -z,--zero-terminated -N
grep|egrep|fgrep: :plain :text -E,--extended-regexp -F,--fixed-strings -G,--basic-regexp -P,--perl-regexp -e,--regexp=t -f,--file= -i,--ignore-case -y --no-ignore-case -v,--invert-match -w,--word-regexp -x,--line-regexp -c,--count --color,--colour? -L,--files-without-match -l,--files-with-matches -m,--max-count= -o,--only-matching -q,--quiet,--silent -s,--no-messages -b,--byte-offset -H,--with-filename -h,--no-filename --label= -n,--line-number -T,--initial-tab -Z,--null -A,--after-context= -B,--before-context= -C,--context= -a,--text --binary-files= -D,--devices= -d,--directories= --exclude=t --exclude-from= --exclude-dir=t -I --include=t -r,--recursive -R,--dereference-recursive --line-buffered -U,--binary -z,--null-data -V,--version --help -N
cut: :plain -b,--bytes= -c,--characters= -d,--delimiter=t -f,--fields= -n --complement -s,--only-delimited --output-delimiter=t -z,--zero-terminated
tr: :plain -c,-C,--complement -d,--delete -s,--squeeze-repeats -t,--truncate-set1
stat: :plain -L,--dereference -f,--file-system --cached= -c,--format=t --printf=t -t,--terse
basename: :plain -a,--multiple -s,--suffix=t -z,--zero
dirname: :plain -z,--zero
realpath|readlink: -e,--canonicalize-existing -m,--canonicalize-missing -f,--canonicalize -L,--logical -P,--physical -q,--quiet -s,--strip,--no-symlinks -z,--zero -n,--no-newline --relative-to= --relative-base= -v,--verbose
nl|od|hexdump|fold|fmt|expand|unexpand|pr|column|rev|comm|join|paste|cmp|strings|sum|cksum|tsort|factor|seq|expr|numfmt|yes|sleep: :any
md5sum|sha1sum|sha256sum|sha512sum|b2sum: :any
base64|base32: -d,--decode -i,--ignore-garbage -w,--wrap=
sort: -b,--ignore-leading-blanks -d,--dictionary-order -f,--ignore-case -g,--general-numeric-sort -i,--ignore-nonprinting -M,--month-sort -h,--human-numeric-sort -n,--numeric-sort -R,--random-sort !--random-source= -r,--reverse --sort= -V,--version-sort --batch-size= -c,--check? -C !--compress-program= --debug !--files0-from= -k,--key= -m,--merge !-o,--output=w -s,--stable -S,--buffer-size= -t,--field-separator=t !-T,--temporary-directory=w --parallel= -u,--unique -z,--zero-terminated --help --version
uniq: -c,--count -d,--repeated -D,--all-repeated? -f,--skip-fields= --group? -i,--ignore-case -s,--skip-chars= -u,--unique -z,--zero-terminated -w,--check-chars=
diff: -q,--brief -s,--report-identical-files -c -C,--context= -u -U,--unified? -e,--ed -n,--rcs -y,--side-by-side -W,--width= --left-column --suppress-common-lines -p,--show-c-function -F,--show-function-line=t --label=t -t,--expand-tabs -T,--initial-tab -r,--recursive -N,--new-file -i,--ignore-case -E -Z,--ignore-trailing-space -b,--ignore-space-change -w,--ignore-all-space -B,--ignore-blank-lines -I,--ignore-matching-lines=t -a,--text --strip-trailing-cr --color? -d,--minimal -x,--exclude=t --no-dereference --speed-large-files --from-file= --to-file=
diff3|sdiff: -q
sed: :text -n,--quiet,--silent -e,--expression=t !-f,--file= -E,-r,--regexp-extended !-i,--in-place? -s,--separate -u,--unbuffered -z,--null-data --debug --posix --sandbox -b,--binary -l,--line-length= --follow-symlinks --help --version
awk|gawk|mawk|nawk: :text -F,--field-separator=t -v,--assign=t !-f,--file= !-E,--exec= !-e,--source= !-i,--include= !-l,--load= !-d,--dump-variables? !-o,--pretty-print? !-p,--profile? !-D,--debug? -O,--optimize -P,--posix -r,--re-interval -S,--sandbox --version
rg: :text :tree -e,--regexp=t -f,--file= -i,--ignore-case -S,--smart-case -s,--case-sensitive -v,--invert-match -w,--word-regexp -x,--line-regexp -F,--fixed-strings -P,--pcre2 -U,--multiline --multiline-dotall -n,--line-number -N,--no-line-number -c,--count --count-matches -l,--files-with-matches --files-without-match --files -o,--only-matching -q,--quiet -r,--replace=t -A,--after-context= -B,--before-context= -C,--context= -m,--max-count= -M,--max-columns= -g,--glob=t --iglob=t -t,--type= -T,--type-not= --type-list --hidden -. --no-ignore --no-ignore-vcs -u,--unrestricted -uu -uuu -d,--max-depth= --color= --colors= --heading --no-heading -H,--with-filename -I,--no-filename --json --sort= --sortr= --stats --trim --vimgrep -p,--pretty -a,--text -z,--search-zip -0,--null --null-data --no-messages --passthru --column -b,--byte-offset -j,--threads= -L,--follow --one-file-system --debug --line-buffered -E,--encoding= --no-config --version -V --help -h !--pre= !--pre-glob= !--hostname-bin= !--ignore-file= !--hyperlink-format=
ag|ack: :text :tree -i -w -l -L -c -n -Q -v -s -S -A= -B= -C= -G= -g=t --nocolor --color --hidden --py --js -r -R
fd|fdfind: :text -H,--hidden -I,--no-ignore -u,--unrestricted -s,--case-sensitive -i,--ignore-case -g,--glob -F,--fixed-strings -a,--absolute-path -l,--list-details -L,--follow -p,--full-path -0,--print0 -d,--max-depth= --min-depth= -t,--type= -e,--extension= -E,--exclude=t -c,--color= -q,--quiet -1 --max-results= -S,--size= --changed-within= --changed-before= !-x,--exec= !-X,--exec-batch= !--base-directory= !-C= --search-path= !--ignore-file=
jq: :text -n,--null-input -r,--raw-output -R,--raw-input -s,--slurp -c,--compact-output -C,--color-output -M,--monochrome-output -S,--sort-keys -a,--ascii-output -j,--join-output -e,--exit-status --tab --indent= --stream --seq --arg= !--argjson= !--args !--slurpfile= !--rawfile= !-f,--from-file= !-L= -h,--help --version
yq: :text -r -P -o,--output-format= -p,--input-format= -e,--exit-status -C,--colors -M,--no-colors -n,--null-input -j,--tojson -I,--indent= !-i,--inplace !-s,--split-exp= !--from-file=
xmllint: --noout --format --xpath=t --nonet --html --recover
less|more|most: -N,--LINE-NUMBERS -S,--chop-long-lines -R,--RAW-CONTROL-CHARS -r -F,--quit-if-one-screen -X,--no-init -i -I -n -e -E -M -m -g -s !-o,--log-file=w !-O,--LOG-FILE=w !-k,--lesskey-file= !-p,--pattern= !-t,--tag= !-T,--tag-file= !-K
bat|batcat: -n,--number -p,--plain -A,--show-all -l,--language= -r,--line-range= -H,--highlight-line= --style= --theme= --color= --decorations= -d,--diff --list-languages --list-themes -N --wrap= --tabs= !--pager= !--paging= --paging=
man|apropos|whatis: -k,--apropos -f,--whatis -s,-S,--sections= -w,--where,--path -W -a,--all --no-hyphenation !-P,--pager= !-H,--html? !-C,--config-file= !-M,--manpath= !-L,--locale= !-l,--local-file !-m,--systems= !-p,--preprocessor= !-T,--troff-device? !-X,--gxditview? !-t,--troff !-r,--prompt= !-E,--encoding= !-K,--global-apropos !-D,--default
info: !-o,--output=w
file: -b,--brief -i,--mime --mime-type --mime-encoding -k,--keep-going -L,--dereference -h,--no-dereference -N,--no-pad -n,--no-buffer -p,--preserve-date -r,--raw -s,--special-files -z,--uncompress -Z -0,--print0 -v,--version -F,--separator=t -c,--checking-printout -e,--exclude= -l,--list -E --extension !-C,--compile !-m,--magic-file= !-f,--files-from= !-P,--parameter=
date: -u,--utc,--universal -d,--date=t -I,--iso-8601? -R,--rfc-email --rfc-3339= -r,--reference= --debug !-s,--set= !-f,--file= --help --version
cal|ncal|uptime|whoami|id|groups|uname|arch|hostid|nproc|tty|logname|users|w|who|pwd|lsb_release|locale|getconf: :any
hostname: -f,--fqdn,--long -s,--short -i,--ip-address -I,--all-ip-addresses -d,--domain -A,--all-fqdns !-F,--file= !-b,--boot
which|whereis|type: :any
tree: -a -d -f -i -l -x -L= -P=t -I=t --prune --noreport -n -C -A -S -s -h --du -D -F -p -u -g -t -r -c -v -Q -q -N --dirsfirst --gitignore -J -X !-o=w !-H= !-R !--fromfile !--infofile=
du: -a,--all -b,--bytes -c,--total -d,--max-depth= -h,--human-readable --si -k -m -s,--summarize -x,--one-file-system -L,--dereference -P -D -S,--separate-dirs -l,--count-links -0,--null -t,--threshold= --time? --exclude=t --apparent-size -B,--block-size= !--files0-from= !-X,--exclude-from=
df: :any
ps|top|free|vmstat|iostat|lscpu|lsblk|lsusb|lspci|lsmod|mount|findmnt: -a -e -f -l -u -x -A -F -o= -p= -C= --sort= --forest -h -m -g -b -w -H -n= aux -ef
pgrep: :any
lsof: -i? -p= -n -P -u= -t -c= +D=
cloc|tokei|scc: -f --by-file --json --exclude-dir=t -e,--exclude=t -l,--languages --vcs= -q,--quiet
xxd: -b -c= -g= -l= -p,-ps -s= -u !-r
csvlook|csvcut|csvstat: -d= -c= -n
"""

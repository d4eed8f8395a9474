"""Programs that run another program: ``NAME OPERANDS FLAGS: OPTIONS``.

OPERANDS is how many operands stand in front of the inner command. Flags: a assignments, c an option ``-c SCRIPT``, s the
words are joined to a script, u words that are not known are appended, t the first word is a script.
"""

TABLE = r"""
sudo 0 a: -u,--user= -g,--group= !-h,--host= -p,--prompt= !-C,--close-from= -r,--role= -t,--type= -T,--command-timeout= -U,--other-user= !-D,--chdir= !-R,--chroot= -n,--non-interactive !-E,--preserve-env? -H,--set-home !-i,--login !-s,--shell -k,--reset-timestamp -K -b,--background !-A,--askpass -S,--stdin -P -v -l !-e,--edit -B
doas 0: -u= !-C= -n !-s -L
pkexec 0: --user= --disable-internal-agent --keep-cwd
su 1 c: -c,--command= !-l,--login !- -s,--shell= -p,-m,--preserve-environment -g= -G= -P
runuser 0 c: -c,--command= -u,--user= !-l,--login -s,--shell= -p,-m -g= -G=
nice 0: -n,--adjustment= -N
timeout 1: -k,--kill-after= -s,--signal= --preserve-status --foreground -v,--verbose
nohup 0:
stdbuf 0: -i,--input= -o,--output= -e,--error=
time 0: -p,--portability -v,--verbose -f,--format=t -q !-o,--output=w !-a,--append
command 0: -p
builtin 0:
exec 0: -c -l -a=
setsid 0: -w,--wait -f,--fork -c,--ctty
ionice 0: -c,--class= -n,--classdata= -t
chrt 1: -f -r -o -b -i
taskset 1: -c,--cpu-list -a
chroot 1: --userspec= --groups= --skip-chdir
nsenter 0: -t,--target= -m,--mount? -u,--uts? -i,--ipc? -n,--net? -p,--pid? -U,--user? -C,--cgroup? -a,--all -r,--root? -w,--wd? -F,--no-fork -S,--setuid= -G,--setgid= --preserve-credentials
unshare 0: -m,--mount? -u,--uts? -i,--ipc? -n,--net? -p,--pid? -U,--user? -C,--cgroup? -f,--fork -r,--map-root-user --mount-proc?
flock 1 c: -c,--command= -n,--nonblock,--nb -s,--shared -x,-e,--exclusive -w,--timeout,--wait= -o,--close -u,--unlock -E= -F -v
watch 0 s: -n,--interval= -d,--differences? -t,--no-title -b,--beep -e,--errexit -g,--chgexit -c,--color -x,--exec -p,--precise -q,--equexit= -w,--no-wrap
xargs 0 u: -0,--null -a,--arg-file= -d,--delimiter= -E= -e? -I= -i? -J= -L,--max-lines= -l? -n,--max-args= -P,--max-procs= -p,--interactive -r,--no-run-if-empty -s,--max-chars= -t,--verbose -x,--exit -o,--open-tty --show-limits --process-slot-var=
parallel 0 su: -j,--jobs= -k,--keep-order -n,--max-args= -N= -a,--arg-file= -0,--null -d,--delimiter= -I= -X -m --dry-run --bar --progress --eta --halt= --joblog= --retries= --timeout= -v --no-notice --will-cite -q,--quote -S,--sshlogin= --pipe --colsep,-C= --tmpdir= --results= --env=
busybox 0:
toybox 0:
script 9 c: -c,--command= -q,--quiet -a,--append -e,--return -f,--flush
strace 0: -f -ff -e= -o= -p= -s= -c -t -tt -T -v -y -x -q -i -k -r -C -D -E= -u= -a= -I= -O= -S= -P= -b= -w -yy -Z -z
ltrace 0: -f -e= -o= -p= -s= -c -S -i -t -C
valgrind 0: -q -v --tool= --leak-check= --error-exitcode= --log-file= --track-origins=
perf 1: -a -e= -g -o= -p= -F= --call-graph=
ssh 1 s: -v -vv -4 -6 -q -T -N -C -l= -p= !-o= !-F= !-i= !-J= !-L= !-R= !-D= !-E= !-S= !-W= !-b= !-c= !-e= !-m= !-w= !-A !-X !-Y !-f !-g !-K !-M !-t !-tt !-B= !-I= !-O= !-Q= !-P= !-a !-k !-n !-s !-x !-y !-G !-V
fakeroot 0: -u -l= -s= -i= -b=
unbuffer 0: -p
xvfb-run 0: -a,--auto-servernum -s,--server-args= -n,--server-num= -e= -f= -w=
rlwrap 0: -a= -c -f= -H= -r
systemd-run 0: --user --scope -t,--pty --unit= -p,--property= --wait -q,--quiet -P,--pipe -G -d -S -M,--machine= -E,--setenv= --uid= --gid= --slice= -r -u=
firejail 0: --quiet
bwrap 0: --unshare-all --die-with-parent --new-session --proc= --dev= --tmpfs= --dir= --chdir= --unshare-net --unshare-pid --share-net --clearenv
caffeinate 0: -i -s -d -m -u -t= -w=
entr 0 u: -r -c -d -n -p -s -z
direnv 2:
cross-env 0 a:
dotenv 0 a: -e= -c= -o
doppler 1:
proxychains 0: -q -f=
proxychains4 0: -q -f=
torsocks 0:
linux32 0:
linux64 0:
setarch 1: -R -v
catchsegv 0:
chpst 0: -u= -U= -b= -/= -n= -l= -L= -m= -d= -o= -p= -f= -c= -v -P -0 -1 -2
hyperfine 0 su: -w,--warmup= -m,--min-runs= -M,--max-runs= -r,--runs= -i,--ignore-failure -N -s,--setup= -p,--prepare= -c,--cleanup= --style= --export-json= --export-markdown=
setpriv 0: --reuid= --regid= --clear-groups --init-groups --groups= --inh-caps= --ambient-caps= --bounding-set= --no-new-privs --reset-env --pdeathsig=
dbus-run-session 0: --config-file= --dbus-daemon=
dbus-launch 0: --exit-with-session --sh-syntax
watchexec 0 s: -w,--watch= -e,--exts= -r,--restart -c,--clear -n -i,--ignore= -q,--quiet
concurrently 0 su: -k,--kill-others -n,--names= -c,--prefix-colors= --raw -s,--success=
nodemon 0: -x,--exec= -w,--watch= -e,--ext= -q,--quiet -i,--ignore=
trap 0 t:
"""
_DOCKER_RUN = (
    "--rm -i,--interactive -t,--tty -it -ti -d,--detach --init -q,--quiet --name= -w,--workdir= -u,--user= -h,--hostname= --network,--net= "
    "--platform= --pull= -m,--memory= --cpus= --entrypoint= -e,--env= --env-file= -v,--volume= --mount= -p,--publish= -P "
    "--privileged --read-only --restart= --label,-l= --link= --cap-add= --cap-drop= --device= --security-opt= --pid= --ipc= "
    "--userns= --add-host= --dns= --gpus= --shm-size= --tmpfs= --ulimit= --volumes-from= --cidfile= --log-driver= -a,--attach= "
    "--expose= --group-add= --no-healthcheck --stop-signal= --sysctl= --cgroup-parent= --runtime= --isolation= -c= --uts="
)
_DOCKER_EXEC = "-i,--interactive -t,--tty -it -ti -d,--detach -e,--env= --env-file= -u,--user= -w,--workdir= --privileged -T,--no-TTY --index="
_KUBECTL_EXEC = "-i,--stdin -t,--tty -it -ti -c,--container= -n,--namespace= -q,--quiet -f,--filename= --context= --kubeconfig= --pod-running-timeout="
SUBCOMMANDS = {
    "docker exec": (1, "", _DOCKER_EXEC),
    "docker container exec": (1, "", _DOCKER_EXEC),
    "podman exec": (1, "", _DOCKER_EXEC),
    "docker run": (1, "", _DOCKER_RUN),
    "docker container run": (1, "", _DOCKER_RUN),
    "podman run": (1, "", _DOCKER_RUN),
    "nerdctl exec": (1, "", _DOCKER_EXEC),
    "nerdctl run": (1, "", _DOCKER_RUN),
    "docker compose exec": (1, "", _DOCKER_EXEC),
    "docker compose run": (1, "", _DOCKER_RUN + " --no-deps --service-ports --build"),
    "docker-compose exec": (1, "", _DOCKER_EXEC),
    "docker-compose run": (1, "", _DOCKER_RUN + " --no-deps"),
    "compose exec": (1, "", _DOCKER_EXEC),
    "kubectl exec": (1, "", _KUBECTL_EXEC),
    "oc exec": (1, "", _KUBECTL_EXEC),
    "lxc exec": (1, "", "--user= --env= --cwd= -t -T"),
    "ip netns exec": (1, "", ""),
    "uv run": (
        0,
        "",
        "-q,--quiet -v,--verbose --frozen --locked --no-sync --offline --with= --with-editable= --with-requirements= --directory= --project= -p,--python= --extra= --group= --env-file= --index= --index-url= --package= -m,--module",
    ),
    "uv tool run": (0, "", "--from= --with= -p,--python= -q"),
    "uvx": (0, "", "--from= --with= -p,--python= -q"),
    "poetry run": (0, "", "-q -v --no-interaction"),
    "pipenv run": (0, "", ""),
    "pdm run": (0, "", "-s -q"),
    "rye run": (0, "", ""),
    "hatch run": (0, "", ""),
    "conda run": (0, "", "-n,--name= -p,--prefix= --no-capture-output --live-stream --cwd="),
    "pipx run": (0, "", "--spec= --python="),
    "npx": (0, "", "-y,--yes --no-install --no -p,--package= -q,--quiet --prefer-offline -c,--call= -w="),
    "pnpx": (0, "", "-y -p,--package="),
    "bunx": (0, "", "--bun -p,--package="),
    "npm exec": (0, "", "-y,--yes --no -p,--package= -q,--quiet -c,--call= -w="),
    "npm x": (0, "", "-y,--yes --no -p,--package= -c,--call="),
    "pnpm exec": (0, "", "-r --parallel"),
    "pnpm dlx": (0, "", "--package="),
    "yarn exec": (0, "", ""),
    "yarn dlx": (0, "", "-p,--package= -q,--quiet"),
    "bundle exec": (0, "", "--keep-file-descriptors --gemfile="),
    "git bisect run": (0, "", ""),
    "aws-vault exec": (1, "", "-n -d="),
    "op run": (0, "", "--env-file= --no-masking"),
    "vault exec": (0, "", ""),
}

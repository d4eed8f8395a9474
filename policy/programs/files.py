"""Programs that find, copy, pack and change files."""

TABLE = r"""
find: :single :any -name=t -iname=t -path=t -ipath=t -wholename=t -regex=t -iregex=t -type= -maxdepth= -mindepth= -size= -mtime= -mmin= -atime= -amin= -ctime= -cmin= -newer= -perm= -user= -group= -uid= -gid= -links= -inum= -lname=t -ilname=t -samefile= -regextype= -printf=t -xtype= -fstype= -newermt=t -used= -context= -D= !-exec !-execdir !-ok !-okdir !-delete !-fprint=w !-fprint0=w !-fprintf=w !-fls=w !-files0-from=
cp: :target -a,--archive -b --backup? -d -f,--force -i,--interactive -l,--link -L,--dereference -n,--no-clobber -P,--no-dereference -p --preserve? --no-preserve= --parents -R,-r,--recursive -H -s,--symbolic-link -S,--suffix= -t,--target-directory=w -T,--no-target-directory -u,--update? -v,--verbose -x,--one-file-system --reflink? --sparse= --strip-trailing-slashes --remove-destination -Z
mv: :writes -b --backup? -f,--force -i,--interactive -n,--no-clobber -S,--suffix= -t,--target-directory=w -T,--no-target-directory -u,--update? -v,--verbose --strip-trailing-slashes -Z
ln: :writes -b --backup? -f,--force -i,--interactive -L,--logical -n,--no-dereference -P,--physical -r,--relative -s,--symbolic -S,--suffix= -t,--target-directory=w -T,--no-target-directory -v,--verbose
rm: :writes -f,--force -i -I --interactive? -r,-R,--recursive -d,--dir -v,--verbose --one-file-system --preserve-root? !--no-preserve-root
rmdir: :writes -p,--parents -v,--verbose --ignore-fail-on-non-empty
unlink|shred: :writes -u -v -z -n=
mkdir: :writes -m,--mode= -p,--parents -v,--verbose
touch: :writes -a -c,--no-create -d,--date=t -m -r,--reference= -t= --time= -h,--no-dereference
mktemp: -d,--directory -u,--dry-run -q,--quiet --suffix= -t
tee: :writes -a,--append -i,--ignore-interrupts -p --output-error?
install: :target -b --backup? -c -C,--compare -d,--directory -D -g,--group= -m,--mode= -o,--owner= -p,--preserve-timestamps !-s,--strip !--strip-program= -S,--suffix= -t,--target-directory=w -T,--no-target-directory -v,--verbose
dd: :any
truncate: :writes -c,--no-create -o -r,--reference= -s,--size=
chmod: :writes -c,--changes -f,--silent,--quiet -v,--verbose -R,--recursive -x -w -r --reference= --preserve-root --no-preserve-root
chown|chgrp: :writes -c,--changes -f,--silent,--quiet -v,--verbose -R,--recursive -h,--no-dereference -H -L -P --reference= --from=
tar: -c,--create -x,--extract,--get -t,--list -r,--append -u,--update -f,--file=w -z,--gzip,--gunzip,--ungzip -j,--bzip2 -J,--xz -v,--verbose -C,--directory=w -p,--preserve-permissions -k,--keep-old-files -O,--to-stdout -m,--touch -a,--auto-compress --zstd --lzma --exclude=t --exclude-vcs --exclude-vcs-ignores --strip-components= --wildcards --no-same-owner --owner= --group= --mtime= --sort= --numeric-owner --totals -h,--dereference --checkpoint? -W,--verify --one-file-system --anchored !--checkpoint-action= !--to-command= !-I,--use-compress-program= !-F,--info-script,--new-volume-script= !--rsh-command= !--rmt-command= !-T,--files-from= !-X,--exclude-from= !-P,--absolute-names !--transform,--xform= !--index-file=w !-g,--listed-incremental=w !--overwrite !--unlink-first,-U !--recursive-unlink !--remove-files !-S= !--volno-file=w !-V= !--delete
zip: -r,--recurse-paths -q,--quiet -v,--verbose -j,--junk-paths -9 -0 -1 -2 -3 -4 -5 -6 -7 -8 -x,--exclude=t -i,--include=t -u,--update -f,--freshen -y,--symlinks -X,--no-extra -e,--encrypt -sf !-T,--test !-TT,--unzip-command= !-m,--move !-b,--temp-path= !-@ !-O,--output-file=w !-lf,--logfile-path=w
unzip: -l -t -v -o -n -q -j -p -Z -a -L -C -x=t -d=w !-: !-K !-X
gzip|gunzip|bzip2|bunzip2|xz|unxz|zstd|unzstd|lz4: -c,--stdout,--to-stdout -d,--decompress,--uncompress -k,--keep -f,--force -l,--list -t,--test -v,--verbose -q,--quiet -r,--recursive -n,--no-name -N -T,--threads= -9 -1 -2 -3 -4 -5 -6 -7 -8 !-o=w !--output-dir-flat=w !-S,--suffix= !--files= !--files0= !--filelist=
zcat|bzcat|xzcat|zstdcat|zgrep: :any
7z|7za|unrar|ar|cpio|pax: :ask
rsync: :target -a,--archive -v,--verbose -r,--recursive -z,--compress -n,--dry-run -u,--update -l,--links -p,--perms -t,--times -g,--group -o,--owner -D -h,--human-readable -P --progress --partial --stats -i,--itemize-changes -c,--checksum -x,--one-file-system -q,--quiet -W,--whole-file -H,--hard-links -A -X -S --exclude=t --include=t --max-size= --info= --delete --size-only --existing --ignore-existing !-e,--rsh= !--rsync-path= !--daemon !--config= !--files-from= !--exclude-from= !--include-from= !-f,--filter= !--log-file=w !--password-file= !--temp-dir,-T=w !--backup-dir=w !--write-batch=w !--read-batch= !--remove-source-files !--dparam,-M= !--partial-dir=w !--compare-dest= !--link-dest= !--copy-dest=
split|csplit: :ask
patch: -p,--strip= -R,--reverse -N,--forward --dry-run -s,--quiet,--silent -l,--ignore-whitespace -f,--force -t,--batch -i,--input= -E,--remove-empty-files --verbose -b,--backup !-o,--output=w !-d,--directory= !-e,--ed !-r,--reject-file=w !-B,--prefix= !-D,--ifdef= !-g,--get=
ex|ed|red|hyperfine|c8|nyc: :ask
vi|vim|nvim|view|nano|emacs|pico|micro|code|subl: :ask
dos2unix|unix2dos: :writes -q,--quiet -k,--keepdate -f,--force
open|xdg-open: :ask
sponge: :writes -a
"""

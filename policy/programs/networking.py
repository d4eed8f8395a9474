"""Programs that talk to other hosts."""

TABLE = r"""
curl: -s,--silent -S,--show-error -f,--fail --fail-with-body -v,--verbose -i,--include,--show-headers -I,--head -H,--header=t -X,--request= -d,--data,--data-ascii= --data-raw=t --data-binary= --data-urlencode= --json= -F,--form= --form-string=t -G,--get -k,--insecure -m,--max-time= --connect-timeout= --retry= --retry-delay= --retry-max-time= --retry-connrefused --retry-all-errors -A,--user-agent=t -e,--referer=t -u,--user=t -b,--cookie= --compressed -w,--write-out= -N,--no-buffer -#,--progress-bar -4,--ipv4 -6,--ipv6 -0,--http1.0 --http1.1 --http2 --http3 -r,--range= --url= -g,--globoff --no-progress-meter -V,--version -h,--help? --path-as-is --limit-rate= --tlsv1.2 --tlsv1.3 -1 --keepalive-time= --no-keepalive --proto= --oauth2-bearer=t -L,--location --location-trusted --max-redirs= --next,-: !-o,--output=w !-O,--remote-name !--remote-name-all !-J,--remote-header-name !--output-dir=w !--create-dirs !-D,--dump-header=w !-c,--cookie-jar=w !-K,--config= !-T,--upload-file= !--trace=w !--trace-ascii=w !--stderr=w !-x,--proxy= !--preproxy= !--socks4= !--socks4a= !--socks5= !--socks5-hostname= !--resolve= !--connect-to= !--dns-servers= !--interface= !--doh-url= !-n,--netrc !--netrc-file= !--engine= !-q,--disable !--unix-socket= !--abstract-unix-socket= !--libcurl=w !--etag-save=w !--hsts=w !--alt-svc=w !-Q,--quote= !-t,--telnet-option= !--ftp-pasv !--proxy-header= !--cacert= !--capath= !--cert,-E= !--key= !-Z,--parallel !-C,--continue-at= !-B !--mail-from= !--mail-rcpt= !--variable= !--expand-url= !--krb= !--negotiate !--sslv3 !--proto-redir= !--proto-default=
wget: -q,--quiet -v,--verbose -nv,--no-verbose -S,--server-response --spider -T,--timeout= -t,--tries= --header=t -U,--user-agent=t --no-check-certificate -4 -6 --method= --body-data=t --post-data=t -c,--continue -N,--timestamping --max-redirect= --no-cache !-O,--output-document=w !-P,--directory-prefix=w !-o,--output-file=w !-a,--append-output=w !-i,--input-file= !-e,--execute= !--config= !--use-askpass= !-r,--recursive !-m,--mirror !-p !-x !--save-cookies=w !--load-cookies= !--post-file= !--body-file= !--warc-file=w !--rejected-log=w !-B,--base= !--save-headers !--content-disposition !--ca-certificate= !--certificate= !--proxy? !-D= !-H
http|https|httpie|xh|aria2c|axel|lynx|w3m|links|elinks: :ask
ping|ping6: -c= -i= -W= -w= -n -q -4 -6 -s= -t=
dig|nslookup|host|getent|whois|traceroute|tracepath|mtr: -4 -6 +short -x= -t= -p= -n -v
nc|ncat|netcat|socat|telnet|ftp|sftp|tftp|nmap|tcpdump|tshark|ip|ifconfig|iptables|route: :ask
ss|netstat: -a -t -u -l -n -p -e -s -4 -6 -r -i -x -tulpn -tlnp -an -ltn !-K,--kill !-D= !-F=
ssh: :first -v -vv -4 -6 -q -T -N -C -l= -p=
scp: :target -r -p -q -C -v -4 -6 -P= !-o= !-F= !-S= !-i= !-J= !-D= !-c= !-l= !-3 !-O
ssh-keygen|ssh-add|ssh-agent|ssh-copy-id: :ask
aws|gcloud|az|heroku|fly|flyctl|vercel|netlify|wrangler|doctl|firebase|supabase: :ask
"""

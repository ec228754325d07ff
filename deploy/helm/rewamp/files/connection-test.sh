# Needs NODE, SERVICE, WEBSOCKET_PORT, WEBSOCKET_PATH and, where there is RawSocket, RAWSOCKET_PORT.
# Only what busybox has: sh, wget, nc, printf, head, grep, od, tr.
wget -q -T 10 -O - "http://$NODE:8082/health/ready" >/dev/null || {
  echo "not ready: http://$NODE:8082/health/ready"
  exit 1
}
echo "ready"

# `sleep` holds the connection open until the answer is there.
crlf=$(printf '\r')
upgrade() {
  cat <<EOF
GET $WEBSOCKET_PATH HTTP/1.1$crlf
Host: localhost$crlf
Connection: Upgrade$crlf
Upgrade: websocket$crlf
Sec-WebSocket-Version: 13$crlf
Sec-WebSocket-Key: cmV3YW1wLXRlc3Qta2V5IQ==$crlf
Sec-WebSocket-Protocol: wamp.2.json$crlf
$crlf
EOF
  sleep 2
}
answer=$(upgrade | nc -w 5 "$SERVICE" "$WEBSOCKET_PORT" | head -n 1 | tr -d '\r')
echo "WebSocket: $answer"
case $answer in
  *" 101 "*) ;;
  *) exit 1 ;;
esac

[ -n "${RAWSOCKET_PORT:-}" ] || exit 0
handshake() {
  printf '\177\361\000\000'
  sleep 2
}
answer=$(handshake | nc -w 5 "$SERVICE" "$RAWSOCKET_PORT" | head -c 4 | od -An -tx1 | tr -d ' \n')
echo "RawSocket: $answer"
case $answer in
  7f?10000) ;;
  *) exit 1 ;;
esac

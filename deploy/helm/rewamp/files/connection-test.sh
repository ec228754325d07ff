# Run by `helm test` in busybox, with nothing but what it has. Needs NODE, SERVICE, WEBSOCKET_PORT, WEBSOCKET_PATH and,
# where there is RawSocket, RAWSOCKET_PORT. `sleep` holds a connection open until the answer is there.
if ! timeout 10 wget -q -O /dev/null "http://$NODE:8082/health/ready"; then
  echo "not ready: http://$NODE:8082/health/ready"
  exit 1
fi
echo "ready"
upgrade() {
  printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' "$WEBSOCKET_PATH"
  printf 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: cmV3YW1wLXRlc3Qta2V5IQ==\r\n'
  printf 'Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n'
  sleep 2
}
answer=$(upgrade | nc -w 5 "$SERVICE" "$WEBSOCKET_PORT" | head -n 1 | tr -d '\r')
echo "WebSocket: $answer"
case $answer in
  *" 101 "*) ;;
  *) exit 1 ;;
esac
[ -n "${RAWSOCKET_PORT:-}" ] || exit 0
# 7f f1: messages of up to 16 MiB, JSON. The answer has a size of the node's and the same serializer.
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

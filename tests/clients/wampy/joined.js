// Sessions of Wampy for the programs beside this file.
'use strict';
const assert = require('node:assert/strict');
const WebSocket = require('ws');
const { Wampy } = require('wampy');
const { JsonSerializer } = require('wampy/JsonSerializer.js');
const { MsgpackSerializer } = require('wampy/MsgpackSerializer.js');
const { CborSerializer } = require('wampy/CborSerializer.js');

const MILLISECONDS = 20000; // for anything that should happen at once, on a busy machine

const SERIALIZERS = { json: JsonSerializer, msgpack: MsgpackSerializer, cbor: CborSerializer };

// A session that has joined `realm`, with the details of its WELCOME as `details`; rejects where
// the router refuses. `login` is Wampy's: {authmethods, authid, onChallenge}.
async function join([url, realm, serializer], login = {}) {
  const wampy = new Wampy(url, {
    ws: WebSocket,
    realm,
    serializer: new SERIALIZERS[serializer](),
    autoReconnect: false,
    ...login,
  });
  wampy.details = await soon('a session', wampy.connect());
  return wampy;
}

// Subscribes; `next()` gives {argsList, argsDict, details} one after the other.
async function subscribed(session, topic, options) {
  const waiting = [];
  const events = [];
  const onEvent = (event) => {
    if (waiting.length) waiting.shift()(event); else events.push(event);
  };
  const { subscriptionId, subscriptionKey } = await soon('SUBSCRIBED',
    session.subscribe(topic, onEvent, options));
  const next = () => soon(`an event of ${topic}`, events.length
    ? Promise.resolve(events.shift())
    : new Promise((resolve) => waiting.push(resolve)));
  return { id: subscriptionId, key: subscriptionKey, next, events };
}

// Awaits what must be refused with `error`; gives the refusal.
async function refused(error, promise) {
  let answer;
  try {
    answer = await soon('a refusal', promise);
  } catch (refusal) {
    assert.equal(refusal.errorUri, error, String(refusal));
    return refusal;
  }
  return assert.fail(`not refused with ${error} but answered ${JSON.stringify(answer)}`);
}

function soon(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not in time: ${what}`)), MILLISECONDS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Runs a program with URL REALM SERIALIZER of the command line; a failure is exit code 1.
function run(main) {
  const where = process.argv.slice(2, 5);
  main(where, process.argv[5]).then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
  });
}

module.exports = { join, subscribed, refused, run };

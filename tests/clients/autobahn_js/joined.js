// Sessions of Autobahn|JS for the programs beside this file, as promises.
'use strict';
const assert = require('node:assert/strict');
const autobahn = require('autobahn');

const MILLISECONDS = 20000; // for anything that should happen at once, on a busy machine

const SERIALIZERS = {
  json: () => new autobahn.serializer.JSONSerializer(),
  msgpack: () => new autobahn.serializer.MsgpackSerializer(),
  cbor: () => new autobahn.serializer.CBORSerializer(),
};

// A session that has joined `realm`; rejects with {error, message} where the router refuses.
// `login` is Autobahn's: {authmethods, authid, onchallenge}. Over rs://… only JSON is there.
function join([url, realm, serializer], login = {}) {
  const at = new URL(url);
  const transport = at.protocol === 'rs:'
    ? { type: 'rawsocket', host: at.hostname, port: Number(at.port) }
    : { type: 'websocket', url, serializers: [SERIALIZERS[serializer]()] };
  const connection = new autobahn.Connection({
    transports: [transport], realm, max_retries: 0, ...login,
  });
  return soon('a session', new Promise((resolve, reject) => {
    connection.onopen = (session, details) => {
      session.details = details;
      session.over = new Promise((left) => { connection.onclose = () => { left(); return true; }; });
      session.end = () => { connection.close(); return session.over; };
      resolve(session);
    };
    connection.onclose = (reason, details) => {
      reject({ error: details.reason || reason, message: details.message });
      return true; // no further attempt
    };
    connection.open();
  }));
}

// Subscribes; `next()` gives {args, kwargs, details} one after the other.
async function subscribed(session, topic, options) {
  const waiting = [];
  const events = [];
  const onEvent = (args, kwargs, details) => {
    const event = { args, kwargs, details };
    if (waiting.length) waiting.shift()(event); else events.push(event);
  };
  const subscription = await session.subscribe(topic, onEvent, options);
  const next = () => soon(`an event of ${topic}`, events.length
    ? Promise.resolve(events.shift())
    : new Promise((resolve) => waiting.push(resolve)));
  return { subscription, next, events };
}

// Awaits what must be refused with `error`; gives the refusal.
async function refused(error, promise) {
  let answer;
  try {
    answer = await promise;
  } catch (refusal) {
    if (refusal instanceof assert.AssertionError) throw refusal;
    assert.equal(refusal.error, error, JSON.stringify(refusal));
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

module.exports = { autobahn, join, subscribed, refused, run };

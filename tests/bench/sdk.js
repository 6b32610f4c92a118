// Measure the official JavaScript SDK: one load a line on stdin, one result a line on stdout.
// bench/child.py and bench/meter.py do the same in Python, with the same names.
"use strict";

const net = require("node:net");
const readline = require("node:readline");
const { WebSocket } = require("ws");
const { Client, Realtime } = require("appwrite");

// The SDK expects these objects of a browser.
globalThis.window = globalThis;
globalThis.WebSocket = WebSocket;
globalThis.localStorage = { getItem: () => null, setItem: () => {} };
console.log = console.error; // stdout carries the results

const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };

const go = (port, channel) => new Promise((resolve) => {
  const asking = net.connect(port, "127.0.0.1", () => asking.write(`GET /go/${channel} HTTP/1.1\r\n\r\n`));
  asking.once("data", () => { asking.destroy(); resolve(); });
});

async function measure({ port, channel, warmUp, count, verify }) {
  const realtime = new Realtime(new Client().setEndpoint(`http://127.0.0.1:${port}/v1`).setProject("bench"));
  const kept = [];
  let left = warmUp, last, done;
  const all = new Promise((resolve) => { done = resolve; });
  let began = 0;
  await realtime.subscribe([channel], (event) => {
    last = event;
    if (verify) kept.push(event.payload);
    if (--left === 0) done();
  });
  await go(port, channel);
  await all;
  let spent = 0;
  if (!verify) {
    const rest = new Promise((resolve) => { done = resolve; });
    left = count;
    if (global.gc) global.gc();
    began = cpu();
    await go(port, channel);
    await rest;
    spent = cpu() - began;
    kept.push(last.payload);
  }
  await realtime.disconnect();
  return { cpu: spent, payloads: kept, hotspots: "" };
}

const input = readline.createInterface({ input: process.stdin });
input.on("close", () => process.exit(0));
input.on("line", async (line) => {
  process.stdout.write(JSON.stringify(await measure(JSON.parse(line))) + "\n");
});

// A venue's published JavaScript SDK, driven by lines of JSON: first {modules, sdk, pool, amounts, ...}, answered by
// {outs, version}; then {n} each, answered by the nanoseconds of n quotes.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const wide = (text) => JSON.parse(text, (_, value) => (value?.bigint !== undefined ? BigInt(value.bigint) : value));

async function whirlpool(load, given) {
  const core = await load("@orca-so/whirlpools-core");
  const pool = {
    ...given.pool,
    feeTierIndexSeed: Uint8Array.from(given.pool.feeTierIndexSeed),
  };
  return (amount) =>
    core.swapQuoteByInputToken(amount, true, 0, pool, null, given.arrays, given.time, null, null).tokenEstOut;
}

async function raydium_cpmm(load, given) {
  const { CurveCalculator } = await load("@raydium-io/raydium-sdk-v2");
  const { default: BN } = await load("bn.js");
  const [vaultIn, vaultOut, trade, creator, protocol, fund] = given.figures.map((value) => new BN(value.toString()));
  const inputs = new Map(given.amounts.map((amount) => [amount, new BN(amount.toString())]));
  return (amount) =>
    CurveCalculator.swapBaseInput(inputs.get(amount), vaultIn, vaultOut, trade, creator, protocol, fund, true)
      .outputAmount;
}

const SDKS = { whirlpool, raydium_cpmm };
let quote;
let amounts;

async function start(given) {
  const require = createRequire(join(given.modules, "index.js"));
  let version = "";
  const load = async (name) => {
    const module = await import(pathToFileURL(require.resolve(name)).href);
    version ||= JSON.parse(readFileSync(join(given.modules, "node_modules", name, "package.json"))).version;
    return module.CurveCalculator || !module.default || name === "bn.js" ? module : { ...module.default, ...module };
  };
  quote = await SDKS[given.sdk](load, given);
  amounts = given.amounts;
  return { outs: amounts.map((amount) => quote(amount).toString()), version };
}

function measure(n) {
  const samples = new Array(n);
  for (let i = 0; i < n; i++) {
    const amount = amounts[i % amounts.length];
    const begin = process.hrtime.bigint();
    quote(amount);
    samples[i] = Number(process.hrtime.bigint() - begin);
  }
  return samples;
}

for await (const line of createInterface({ input: process.stdin })) {
  const given = wide(line);
  let answer;
  try {
    answer = quote ? measure(given.n) : await start(given);
  } catch (error) {
    answer = { error: String(error.message ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}

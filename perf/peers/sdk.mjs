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

const bytes = (given, name) => Buffer.from(given.accounts[name], "base64");
const numbers = (BN, amounts) => new Map(amounts.map((amount) => [amount, new BN(amount.toString())]));

// The methods want objects that the SDK's own loaders fetch; here they are decoded from the same account bytes.
async function raydium_v4(load, given) {
  const { Raydium } = await load("@raydium-io/raydium-sdk-v2");
  const { Connection } = await load("@solana/web3.js");
  const { default: BN } = await load("bn.js");
  const { liquidity } = new Raydium({ connection: new Connection("http://127.0.0.1:1") }); // never asked
  const inputs = numbers(BN, given.amounts);
  const [baseReserve, quoteReserve] = given.reserves.map((value) => new BN(value.toString()));
  const [mintA, mintB] = given.mints.map((address) => ({ address, decimals: 9 }));
  const poolInfo = { version: 4, mintA, mintB, baseReserve, quoteReserve };
  const [mintIn, mintOut] = given.mints;
  return (amount) =>
    liquidity.computeAmountOut({ poolInfo, amountIn: inputs.get(amount), mintIn, mintOut, slippage: 0 }).amountOut;
}

async function raydium_clmm(load, given) {
  const sdk = await load("@raydium-io/raydium-sdk-v2");
  const { PublicKey } = await load("@solana/web3.js");
  const { default: BN } = await load("bn.js");
  const inputs = numbers(BN, given.amounts);
  const decode = (layout, name) => layout.decode(bytes(given, name));
  const known = {
    programId: sdk.CLMM_PROGRAM_ID,
    poolId: new PublicKey(given.pool),
    poolInfo: decode(sdk.PoolInfoLayout, given.pool),
    configInfo: decode(sdk.ClmmConfigLayout, given.config),
    tickarrayBitmapExtension: decode(sdk.TickArrayBitmapExtensionLayout, given.extension),
    tickArrays: given.arrays.map((name) => ({
      address: new PublicKey(name),
      value: decode(sdk.TickArrayLayout, name),
    })),
    sqrtPriceLimitX64: new BN(0),
    zeroForOne: true,
    isBaseInput: true,
    blockTimestamp: given.time,
    includeExtraTickArrays: false,
  };
  return (amount) => sdk.swapInternal({ ...known, amountSpecified: inputs.get(amount) }).amountCalculated;
}

async function meteora_dlmm(load, given) {
  const sdk = await load("@meteora-ag/dlmm");
  const { Connection, PublicKey } = await load("@solana/web3.js");
  const { default: BN } = await load("bn.js");
  const program = sdk.createProgram(new Connection("http://127.0.0.1:1")); // never asked
  const decode = (kind, name) => sdk.decodeAccount(program, kind, bytes(given, name));
  const inputs = numbers(BN, given.amounts);
  const mint = { tlvData: Buffer.alloc(0) };
  const pair = Object.assign(Object.create(sdk.default.prototype), {
    lbPair: decode("lbPair", given.pool),
    binArrayBitmapExtension: null,
    tokenX: { mint },
    tokenY: { mint },
    clock: { epoch: new BN(0) },
  });
  const arrays = given.arrays.map((name) => ({ publicKey: new PublicKey(name), account: decode("binArray", name) }));
  Date.now = () => 1000 * given.time; // swapQuote reads the wall clock
  return (amount) => pair.swapQuote(inputs.get(amount), true, new BN(0), arrays).outAmount;
}

async function meteora_damm_v2(load, given) {
  const sdk = await load("@meteora-ag/cp-amm-sdk");
  const { Connection } = await load("@solana/web3.js");
  const { default: BN } = await load("bn.js");
  const { coder } = new sdk.CpAmm(new Connection("http://127.0.0.1:1"))._program; // never asked
  const inputs = numbers(BN, given.amounts);
  const pool = coder.accounts.decode("pool", bytes(given, given.pool));
  const point = new BN(given.time);
  return (amount) => sdk.swapQuoteExactInput(pool, point, inputs.get(amount), 0, true, false, 9, 9).outputAmount;
}

const SDKS = { whirlpool, raydium_v4, raydium_cpmm, raydium_clmm, meteora_dlmm, meteora_damm_v2 };
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

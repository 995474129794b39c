// Exact-out swaps over CLMM pools with limit orders, dynamic fee and fee side, as Raydium's SDK computes them: one JSON
// line in, {modules, pools: [{accounts, pool, config, extension, arrays}], asks: [{pool, down, amount}], time}; one out.
import { createRequire } from "node:module";
import { join } from "node:path";
import { readFileSync } from "node:fs";

const given = JSON.parse(readFileSync(0, "utf8"));
const require = createRequire(join(given.modules, "index.js"));
const sdk = require("@raydium-io/raydium-sdk-v2");
const { PublicKey } = require("@solana/web3.js");
const BN = require("bn.js");

function answer({ pool: number, down, amount }) {
  const pool = given.pools[number];
  const decode = (layout, name) => layout.decode(Buffer.from(pool.accounts[name], "base64"));
  const result = sdk.swapInternal({
    programId: sdk.CLMM_PROGRAM_ID,
    poolId: new PublicKey(pool.pool),
    poolInfo: decode(sdk.PoolInfoLayout, pool.pool),
    configInfo: decode(sdk.ClmmConfigLayout, pool.config),
    tickarrayBitmapExtension: decode(sdk.TickArrayBitmapExtensionLayout, pool.extension),
    tickArrays: pool[down ? "down" : "up"].map((name) => ({
      address: new PublicKey(name),
      value: decode(sdk.TickArrayLayout, name),
    })),
    sqrtPriceLimitX64: new BN(0),
    zeroForOne: down,
    isBaseInput: false,
    blockTimestamp: given.time,
    includeExtraTickArrays: false,
    amountSpecified: new BN(amount),
  });
  if (!result.allTrade) return null;
  const end = [result.sqrtPriceX64, result.tickCurrent, result.liquidity].map(String);
  return [String(result.amountCalculated), String(result.feeAmount), ...end];
}

process.stdout.write(JSON.stringify(given.asks.map(answer)));

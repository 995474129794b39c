/* Reads a stream of the pipeline from outside: nats.js, flatbuffers and flatc's code, nothing of the pipeline.
 *
 *   flatc --ts --gen-all -o accessors ../../*.fbs       (flatc 25 or newer)
 *   npm ci --ignore-scripts && npm run check && npm run build
 *   node consumer.js nats://127.0.0.1:4222 EXECUTED [COUNT]
 *
 * One line of JSON a message. Integers of 64 bits are bigint, and strings in JSON: a number loses lamports above 2^53.
 */

import { createHash } from "node:crypto";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { ByteBuffer } from "flatbuffers";
import { ConnectionHealth } from "./accessors/hft/connection-health.js";
import { EndState } from "./accessors/hft/end-state.js";
import { ExecutionPlan } from "./accessors/hft/execution-plan.js";
import { ExecutionResult } from "./accessors/hft/execution-result.js";
import { HealthMetric } from "./accessors/hft/health-metric.js";
import { KillSwitch } from "./accessors/hft/kill-switch.js";
import { LatencyMetric } from "./accessors/hft/latency-metric.js";
import { Lifecycle } from "./accessors/hft/lifecycle.js";
import { PlanRejected } from "./accessors/hft/plan-rejected.js";
import { PnlMetric } from "./accessors/hft/pnl-metric.js";
import { PoolUpdate } from "./accessors/hft/pool-update.js";
import { Quote } from "./accessors/hft/quote.js";
import { SlotUpdate } from "./accessors/hft/slot-update.js";
import { ThroughputMetric } from "./accessors/hft/throughput-metric.js";
import { TriangularOpportunity } from "./accessors/hft/triangular-opportunity.js";
import { TwoHopOpportunity } from "./accessors/hft/two-hop-opportunity.js";

/* A struct of bytes: an id, a key or a signature. Where it lies in the buffer is enough to read it. */
interface Bytes {
  bb: ByteBuffer | null;
  bb_pos: number;
}

/* What every record has, whichever it is. */
interface Common {
  traceId(): Bytes | null;
  sequence(): bigint;
}

/* A message's bytes 4 to 8 say what it is. A name that is not here comes from a newer schema: it is skipped. */
const RECORDS: Record<string, [string, (buffer: ByteBuffer) => Common]> = {
  HFPU: ["PoolUpdate", PoolUpdate.getRootAsPoolUpdate],
  HFQU: ["Quote", Quote.getRootAsQuote],
  HFSU: ["SlotUpdate", SlotUpdate.getRootAsSlotUpdate],
  HFTO: ["TwoHopOpportunity", TwoHopOpportunity.getRootAsTwoHopOpportunity],
  HFTR: ["TriangularOpportunity", TriangularOpportunity.getRootAsTriangularOpportunity],
  HFEP: ["ExecutionPlan", ExecutionPlan.getRootAsExecutionPlan],
  HFPR: ["PlanRejected", PlanRejected.getRootAsPlanRejected],
  HFER: ["ExecutionResult", ExecutionResult.getRootAsExecutionResult],
  HFLM: ["LatencyMetric", LatencyMetric.getRootAsLatencyMetric],
  HFTM: ["ThroughputMetric", ThroughputMetric.getRootAsThroughputMetric],
  HFPM: ["PnlMetric", PnlMetric.getRootAsPnlMetric],
  HFKS: ["KillSwitch", KillSwitch.getRootAsKillSwitch],
  HFLC: ["Lifecycle", Lifecycle.getRootAsLifecycle],
  HFHM: ["HealthMetric", HealthMetric.getRootAsHealthMetric],
  HFCH: ["ConnectionHealth", ConnectionHealth.getRootAsConnectionHealth],
};

function hex(struct: Bytes | null, length: number): string {
  if (struct === null || struct.bb === null) return "00".repeat(length);
  return Buffer.from(struct.bb.bytes().subarray(struct.bb_pos, struct.bb_pos + length)).toString("hex");
}

function common(data: Uint8Array): Record<string, string> {
  const buffer = new ByteBuffer(data);
  const known = RECORDS[Buffer.from(data.subarray(4, 8)).toString("latin1")];
  if (known === undefined) return { record: "unknown" };
  const [name, read] = known;
  const record = read(buffer);
  return {
    record: name,
    trace_id: hex(record.traceId(), 16),
    sequence: record.sequence().toString(),
    ...(record instanceof ExecutionResult ? result(record) : {}),
  };
}

/* What became of a trade. Money is in lamports. */
function result(record: ExecutionResult): Record<string, string> {
  return {
    plan_id: hex(record.planId(), 16),
    end_state: EndState[record.endState()] ?? String(record.endState()),
    expected_profit_lamports: record.expectedProfitLamports().toString(),
    actual_profit_lamports: record.actualProfitLamports().toString(),
    tip_lamports: record.tipLamports().toString(),
    signature: hex(record.signature(), 64),
  };
}

const [url, stream, count = "0"] = process.argv.slice(2);
if (url === undefined || stream === undefined) throw new Error("consumer.js URL STREAM [COUNT]");
const client = await connect({ servers: url, name: "example-consumer" });
const manager = await jetstreamManager(client);
const { name } = await manager.consumers.add(stream, {
  deliver_policy: DeliverPolicy.All,
  ack_policy: AckPolicy.Explicit,
  inactive_threshold: 60_000_000_000,
});
const consumer = await jetstream(client).consumers.get(stream, name);
let left = Number(count) || Infinity;
for await (const message of await consumer.consume()) {
  const line = {
    position: message.seq,
    subject: message.subject,
    id: message.headers?.get("Nats-Msg-Id") ?? "",
    ...common(message.data),
    sha256: createHash("sha256").update(message.data).digest("hex"),
  };
  console.log(JSON.stringify(line));
  message.ack();
  if (--left === 0) break;
}
await client.drain();

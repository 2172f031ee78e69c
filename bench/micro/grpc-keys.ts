/**
 * What the keys of a Predict over gRPC cost, against SHA-256 of the same bytes: whole, and in rows.
 *
 *   node bench/micro/grpc-keys.ts [KIB]
 */
import { digestOf } from '../../src/core/key.ts'
import { PREFIX_BYTES, withPrefix } from '../../src/protocol/grpc/message.ts'
import { MessageWriter } from '../../src/protocol/protobuf/writer.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { callOf, SEED } from '../../src/testing/protocol-call.ts'

const bytes = Number(process.argv[2] ?? 1024) * 1024
const ROWS = 128
const ROUND_MS = 300
const path = '/tensorflow.serving.PredictionService/Predict'
const values = Buffer.from(Float32Array.from({ length: bytes / 4 }, (_, i) => Math.sin(i)).buffer)
const packed = Buffer.alloc(bytes, 0x07)

function request(dtype: number, size: number, put: (tensor: MessageWriter) => MessageWriter): Buffer {
  const shape = new MessageWriter()
  for (const length of [ROWS, size / ROWS]) shape.message(2, new MessageWriter().varint(1, length))
  const tensor = put(new MessageWriter().varint(1, dtype).message(2, shape))
  const message = new MessageWriter()
    .message(1, new MessageWriter().text(1, 'm'))
    .message(2, new MessageWriter().text(1, 'x').message(2, tensor))
  return withPrefix(message.join(PREFIX_BYTES))
}

const requests = {
  tensor_content: request(1, bytes / 4, (tensor) => tensor.bytes(4, values)),
  float_val: request(1, bytes / 4, (tensor) => tensor.bytes(5, values)),
  'int_val of a byte each': request(4, bytes, (tensor) => tensor.bytes(7, packed)),
}

/** Microseconds of this thread's processor time, which is counted in ticks: many runs in a row. */
function cost(run: () => unknown): number {
  const times: number[] = []
  for (let round = 0; round < 5; round++) {
    const before = process.threadCpuUsage()
    let runs = 0
    const until = performance.now() + ROUND_MS
    for (; runs < 10 || performance.now() < until; runs++) run()
    const { user, system } = process.threadCpuUsage(before)
    times.push((user + system) / runs)
  }
  return Math.min(...times)
}

const target = tfserving.match('POST', path)
if (!target) throw new Error('the method is not known')
const results = Object.entries(requests).map(([name, body]) => {
  const call = callOf(body, {
    path,
    headers: ['content-type', 'application/grpc'],
    target: { ...target, model: 'm' },
  })
  const read = (split: boolean) => tfserving.read(call, body, { seed: SEED, split })
  if ('bypass' in read(true)) throw new Error(`${name} is not read`)
  const sha = cost(() => digestOf(body))
  const [whole, rows] = [cost(() => read(false)), cost(() => read(true))]
  return {
    values: name,
    'SHA-256 µs': Math.round(sha),
    'whole µs': Math.round(whole),
    'whole / SHA-256': Number((whole / sha).toFixed(2)),
    [`${ROWS} rows / SHA-256`]: Number((rows / sha).toFixed(2)),
  }
})
console.table(results)

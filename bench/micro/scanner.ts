/**
 * What reading a V1 body into rows costs, against `JSON.parse` of the same bytes: 1 MiB with rows of 1 KiB, and
 * 1 MiB with rows of two numbers. Rounds are interleaved, so that a noisy neighbour slows both sides alike.
 *
 *   node bench/micro/scanner.ts [rounds]
 */
import { hash } from 'node:crypto'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { callOf } from '../../src/testing/protocol-call.ts'

const MIB = 1 << 20
const rounds = Number(process.argv[2] ?? 40)
const seed: Digest = digestOf('bench')

const call = callOf(new Uint8Array(0), { path: '/v1/models/m:predict' })

function body(row: (index: number) => string): { bytes: Buffer; rows: number } {
  const rows: string[] = []
  for (let size = 0; size < MIB; size += (rows.at(-1) as string).length + 1) rows.push(row(rows.length))
  return { bytes: Buffer.from(`{"instances":[${rows.join()}]}`), rows: rows.length }
}

/** A row of floats of about 1 KiB, as a feature vector is written. */
function wideRow(index: number): string {
  const numbers = Array.from({ length: 54 }, (_, i) => Math.sin(index * 54 + i))
  return JSON.stringify(numbers)
}

const cases: readonly [name: string, body: { bytes: Buffer; rows: number }][] = [
  ['rows of 1 KiB', body(wideRow)],
  ['tiny rows', body((index) => `[${index % 10}.5,2.5]`)],
  ['tiny rows, spaced', body((index) => `[${index % 10}.5, 2.5]`)],
]

function timed(run: () => unknown): number {
  const start = performance.now()
  run()
  return performance.now() - start
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] as number
}

function measure(name: string, { bytes, rows }: { bytes: Buffer; rows: number }): void {
  const sides: Record<string, () => unknown> = {
    'JSON.parse': () => JSON.parse(bytes.toString()),
    'read, whole': () => tfserving.read(call, bytes, { seed, split: false }),
    'read, rows': () => tfserving.read(call, bytes, { seed, split: true }),
    'sha256 a row': () => {
      const row = bytes.subarray(14, 14 + Math.round(bytes.length / rows) + 31)
      for (let i = 0; i < rows; i++) hash('sha256', row, 'latin1')
    },
  }
  const times = new Map(Object.keys(sides).map((side) => [side, [] as number[]]))
  for (let round = -5; round < rounds; round++) {
    for (const [side, run] of Object.entries(sides)) {
      const ms = timed(run)
      if (round >= 0) times.get(side)?.push(ms)
    }
  }
  process.stdout.write(`${name}: ${rows} rows, ${bytes.length} bytes\n`)
  for (const [side, list] of times) {
    const ms = median(list)
    process.stdout.write(
      `  ${side.padEnd(13)} ${ms.toFixed(2)} ms  ${((ms * 1000) / rows).toFixed(3)} us/row\n`,
    )
  }
}

process.stdout.write(`Node ${process.version}, ${rounds} rounds, medians\n`)
for (const [name, made] of cases) measure(name, made)

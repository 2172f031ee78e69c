/**
 * A model server for rows, without the code under test: V1 instances and columns, V2 tensors as JSON and binary. The
 * model is f(x) = 2x + 1 on rows of two numbers; what it was asked is remembered as rows.
 */
import type { ServerResponse } from 'node:http'
import { type Asked, type ScriptedBackend, startBackend } from './backend.ts'

export type Pair = readonly [number, number]

export interface RowBackend extends ScriptedBackend {
  /** The rows of every request so far. */
  readonly sent: Pair[][]
  /** Changes what is answered: by default the rows as the model has them. */
  model: (rows: readonly Pair[]) => readonly Pair[]
}

export const f = ([a, b]: Pair): Pair => [2 * a + 1, 2 * b + 1]

export async function startRowBackend(): Promise<RowBackend> {
  const sent: Pair[][] = []
  const backend = await startBackend((asked, response) => {
    const { rows, write } = read(asked)
    sent.push(rows)
    write(response, extended.model(rows))
  })
  const extended = Object.assign(backend, { sent, model: (rows: readonly Pair[]) => rows.map(f) })
  return extended
}

interface Read {
  readonly rows: Pair[]
  readonly write: (response: ServerResponse, rows: readonly Pair[]) => void
}

function read({ path, headers, body }: Asked): Read {
  if (path.startsWith('/v2/')) return v2(headers['inference-header-content-length'], body)
  const { instances, inputs } = JSON.parse(body.toString()) as {
    instances?: Pair[]
    inputs?: { a: number[]; b: number[] }
  }
  if (instances) return { rows: instances, write: (response, rows) => json(response, { predictions: rows }) }
  const { a = [], b = [] } = inputs ?? {}
  return {
    rows: a.map((value, i) => [value, b[i] as number]),
    write: (response, rows) =>
      json(response, { outputs: { p: rows.map(([p]) => p), q: rows.map(([, q]) => q) } }),
  }
}

function v2(length: string | string[] | undefined, body: Buffer): Read {
  const at = Number(length ?? body.length)
  const head = JSON.parse(body.subarray(0, at).toString()) as {
    id?: string
    inputs: [{ shape: [number, number]; data?: number[] }]
    parameters?: { binary_data_output?: boolean }
  }
  const [input] = head.inputs
  const flat = input.data ?? floats(body.subarray(at))
  const rows = Array.from(
    { length: input.shape[0] },
    (_, i): Pair => [flat[2 * i] as number, flat[2 * i + 1] as number],
  )
  const isBinary = head.parameters?.binary_data_output === true
  return {
    rows,
    write(response, answers) {
      const tensor = { name: 'y', datatype: 'FP32', shape: [answers.length, 2] }
      const more = { model_name: 'm', model_version: '1', ...(head.id === undefined ? {} : { id: head.id }) }
      if (!isBinary) return json(response, { ...more, outputs: [{ ...tensor, data: answers.flat() }] })
      const blob = bytes(answers.flat())
      const text = JSON.stringify({
        ...more,
        outputs: [{ ...tensor, parameters: { binary_data_size: blob.length } }],
      })
      response.setHeader('content-type', 'application/octet-stream')
      response.setHeader('inference-header-content-length', Buffer.byteLength(text))
      response.end(Buffer.concat([Buffer.from(text), blob]))
    },
  }
}

function json(response: ServerResponse, value: unknown): void {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(value))
}

export function floats(blob: Buffer): number[] {
  return Array.from({ length: blob.length / 4 }, (_, i) => blob.readFloatLE(4 * i))
}

export function bytes(values: readonly number[]): Buffer {
  const blob = Buffer.alloc(4 * values.length)
  values.forEach((value, i) => void blob.writeFloatLE(value, 4 * i))
  return blob
}

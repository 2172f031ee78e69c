/**
 * A dialect for tests that has what the built-in ones have not: its body names the model, its status comes behind the body, its
 * answers have the type of a stream, and its servers say `no-store` of everything. A request is `model NAME` or `model NAME@VERSION` on the first line and a row
 * on each other; an answer has a line a row. Every HTTP status is 200: `Slip-Status` is 0 or says what is wrong.
 */
import type { Call, Target } from '../../src/core/call.ts'
import { header } from '../../src/core/call.ts'
import type { Chunks } from '../../src/core/chunks.ts'
import type { Digest } from '../../src/core/key.ts'
import type { Reply } from '../../src/core/reply.ts'
import { Preimage } from '../../src/protocol/preimage.ts'
import type { NamedModel, Plan, Protocol, Reading, ReadOptions } from '../../src/protocol/protocol.ts'
import type { Verdict } from '../../src/protocol/verdict.ts'
import type { Script } from './backend.ts'

/** gRPC's answers have the type of a stream, whatever they are. */
export const SLIP_TYPE = 'application/x-slip'
const STATUS = 'slip-status'

const TARGET: Target = { verb: 'predict', prediction: true, isNamedInBody: true }

/** By their status; the last stands for one that is missing, as of an answer that was cut off. */
const VERDICTS: Readonly<Record<string, Omit<Verdict, 'code'>>> = {
  0: { kind: 'ok', retry: 'never' },
  3: { kind: 'refused', retry: 'never', about: 'input' },
  7: { kind: 'refused', retry: 'never', about: 'caller' },
  8: { kind: 'overloaded', retry: 'elsewhere', about: 'caller' },
  13: { kind: 'failed', retry: 'once' },
  14: { kind: 'overloaded', retry: 'elsewhere' },
}
const MISSING: Verdict = { kind: 'failed', retry: 'elsewhere', code: 'slip none' }

export const slip: Protocol = {
  name: 'slip',
  answerFields: [STATUS, 'slip-message'],
  habits: ['Cache-Control', 'no-store'],
  match: (method, path) => (method === 'POST' && path === '/slip' ? TARGET : undefined),
  model: (body) => modelIn([body]),
  *modelChunks(body) {
    yield
    return modelIn(body.pieces())
  },
  read: (call, body, options) => readLines(call, linesOf(body), options),
  *readChunks(call, body: Chunks, options) {
    const pieces: Uint8Array[] = []
    for (const piece of body.pieces()) {
      pieces.push(piece)
      yield
    }
    return readLines(call, linesOf(Buffer.concat(pieces)), options)
  },
  address: (reply) => reply,
  isStream: () => false,
  verdict(reply) {
    const status = statusOf(reply)
    const meaning = status === undefined ? undefined : VERDICTS[status]
    return meaning ? { ...meaning, code: `slip ${status}` } : MISSING
  },
  storable: (_reply, body, { rows }, counted) =>
    isText(body) && (!counted || !rows || linesOf(body).length === rows.length),
  fault(error) {
    const { blame, retry } = error.fault
    const status = blame === 'caller' ? 3 : retry === 'later' ? 14 : 13
    const message = encodeURIComponent(error.message)
    return slipReply('', status, ['slip-message', message])
  },
  rows: {
    join: ({ common }, rows) => ({
      headers: [],
      body: Buffer.concat([Buffer.from(`${common as string}\n`), ...rows.map(({ wire }) => wire)]),
    }),
    cut(reply, body, count) {
      const lines = linesOf(body)
      if (statusOf(reply) !== '0' || !isText(body) || lines.length !== count) return undefined
      return lines.map((line) => ({ frame: FRAME, slice: Buffer.from(`${line}\n`) }))
    },
    agree: (a, b) => Buffer.compare(a.slice, b.slice) === 0,
    assemble(_plan, answers) {
      const isOurs = answers.length > 0 && answers.every(({ frame }) => Buffer.compare(frame, FRAME) === 0)
      return isOurs ? slipReply(Buffer.concat(answers.map(({ slice }) => slice)).toString(), 0) : undefined
    },
  },
}

const FRAME = Buffer.from('slip')

/** An answer in its own words, with its status behind the body, or alone where there is none. */
function slipReply(text: string, status: number, fields: readonly string[] = []): Reply {
  const own = [STATUS, String(status), ...fields]
  const headers = ['content-type', SLIP_TYPE]
  const body = Buffer.from(text)
  if (text === '') return { status: 200, headers: [...headers, ...own], body }
  return { status: 200, headers, body, trailers: () => own }
}

function statusOf({ headers, trailers }: Reply): string | undefined {
  return header(trailers?.() ?? [], STATUS) ?? header(headers, STATUS)
}

/** Only as far as the end of the first line. */
function modelIn(pieces: Iterable<Uint8Array>): NamedModel | undefined {
  let line = ''
  for (const piece of pieces) {
    const end = piece.indexOf(10)
    line += Buffer.from(end < 0 ? piece : piece.subarray(0, end)).toString('latin1')
    if (end >= 0 || line.length > 256) break
  }
  const [, model, version] = /^model ([\w-]+)(?:@(\w+))?$/.exec(line) ?? []
  return model === undefined ? undefined : { model, ...(version === undefined ? {} : { version }) }
}

function readLines(
  call: Pick<Call, 'query'>,
  [first = '', ...lines]: readonly string[],
  { seed, split }: ReadOptions,
): Reading {
  if (!/^model [\w-]+/.test(first)) return { bypass: 'no model' }
  const begun = (seeded: Digest, kind: string) =>
    new Preimage().latin1(seeded).text(`slip ${kind}`).text(call.query)
  const whole = lines
    .reduce((preimage, line) => preimage.text(line), begun(seed, 'whole').text(first))
    .digest()
  const plan: Plan = { whole, common: first }
  if (!split || lines.length === 0) return plan
  const rows = lines.map((line) => ({
    digest: begun(seed, 'row').text(first).text(line).digest(),
    wire: Buffer.from(`${line}\n`),
  }))
  return { ...plan, rows, batch: begun(seed, 'batch').text(first).digest() }
}

/** Every line has its end. */
function isText(body: Uint8Array): boolean {
  return body.length > 0 && body.at(-1) === 10
}

function linesOf(body: Uint8Array): string[] {
  const text = Buffer.from(body).toString()
  return text === '' ? [] : text.replace(/\n$/, '').split('\n')
}

/** A server of it: doubles each row, and says which model did. A row `no` is the caller's mistake. */
export const doubling: Script = ({ body }, response) => {
  const [first = '', ...rows] = linesOf(body)
  if (rows.includes('no')) return sendSlip(response, '', 3)
  const lines = rows.map((row) => `${first.slice('model '.length)}:${2 * Number(row)}\n`)
  sendSlip(response, lines.join(''), 0)
}

export function sendSlip(response: Parameters<Script>[1], text: string, status: number): void {
  const head = { 'content-type': SLIP_TYPE, 'cache-control': 'no-store', 'x-serial': '1' }
  if (text === '') return void response.writeHead(200, { ...head, [STATUS]: String(status) }).end()
  response.writeHead(200, { ...head, trailer: STATUS })
  response.write(text)
  response.addTrailers({ [STATUS]: String(status), 'x-trace': 'of this call alone' })
  response.end()
}

/** What every dialect keeps, ours or a third party's. */
import { describe, expect, it } from 'vitest'
import type { RawPairs } from '../core/call.ts'
import { Chunks } from '../core/chunks.ts'
import { FAULTS, type FaultCode, GatewayError } from '../core/errors.ts'
import { digestOf } from '../core/key.ts'
import type { Reply } from '../core/reply.ts'
import { runToEnd } from '../lib/cooperative.ts'
import type { NamedModel, Protocol } from '../protocol/protocol.ts'
import { isBackendFailure, verdictOf } from '../protocol/verdict.ts'
import { bytes, callOf, replyOf, SEED, textOf } from './protocol-call.ts'

export interface ProtocolSample {
  readonly path: string
  /** A prediction of three rows, where the dialect has rows. */
  readonly body: string
  /** The same with the last row left out. */
  readonly shorter: string
  /** The answer to `body`. */
  readonly answer: string
  /** Fields of the answer that the dialect knows it by, its status say; left out: that of HTTP is enough. */
  readonly fields?: RawPairs
  /** What `body` names, where the dialect has the model there. */
  readonly named?: NamedModel
  /** What a client of the dialect reads from an error; left out: a status of HTTP, and JSON with the message as a member. */
  readonly told?: (fault: Reply) => { readonly message: string }
}

export function protocolContract(protocol: Protocol, sample: ProtocolSample): void {
  const body = bytes(sample.body)
  const target = protocol.match('POST', sample.path)
  const call = callOf(body, { path: sample.path, ...(target ? { target } : {}) })
  const read = (split: boolean, seed = SEED) => protocol.read(call, body, { seed, split })

  describe(`${protocol.name} keeps the Protocol contract`, () => {
    it('knows its own path', () => {
      expect(target).toBeDefined()
    })

    it('gives the same key for the same bytes, read for rows or not', () => {
      const whole = read(false)
      expect(whole).toHaveProperty('whole')
      expect(read(false)).toHaveProperty('whole', (whole as { whole: string }).whole)
      expect(read(true)).toHaveProperty('whole', (whole as { whole: string }).whole)
    })

    it('mixes the seed into every key', () => {
      const [a, b] = [read(true), read(true, digestOf('another'))]
      if ('bypass' in a || 'bypass' in b) throw new Error('not cacheable')
      expect(a.whole).not.toBe(b.whole)
      for (const [i, row] of (a.rows ?? []).entries()) expect(row.digest).not.toBe(b.rows?.[i]?.digest)
    })

    it('reads a body in chunks to the key it has as a whole', () => {
      const chunks = new Chunks([...body].map((byte) => Uint8Array.of(byte)))
      const reading = runToEnd(protocol.readChunks(call, chunks, { seed: SEED, split: false }))
      expect(reading).toHaveProperty('whole', (read(false) as { whole: string }).whole)
    })

    it('leaves the body as it was', () => {
      const copy = Buffer.from(body)
      read(true)
      expect(Buffer.compare(body, copy)).toBe(0)
    })

    it('does not share keys between the whole call and its rows', () => {
      const reading = read(true)
      if ('bypass' in reading) throw new Error('not cacheable')
      for (const row of reading.rows ?? []) expect(row.digest).not.toBe(reading.whole)
    })

    it('says of each target whether its body names the model, and finds it there, however it is cut', () => {
      expect(target?.isNamedInBody ?? false).toBe(sample.named !== undefined)
      expect(target?.isNamedInBody === true && target.model !== undefined).toBe(false)
      const inPieces = (pieces: readonly Uint8Array[]) =>
        runToEnd((protocol.modelChunks ?? nobody)(new Chunks(pieces)))
      const bodies = [
        body,
        bytes(''),
        bytes('{'),
        bytes('\u0000\u00ff\n'),
        body.subarray(0, body.length >> 1),
      ]
      for (const one of bodies) {
        const model = protocol.model?.(one)
        if (one === body) expect(model).toEqual(sample.named)
        expect(inPieces([one])).toEqual(model)
        expect(inPieces([...one].map((byte) => Uint8Array.of(byte)))).toEqual(model)
      }
    })

    it('takes its own answer for a good one, and whole where it can tell', () => {
      const reply = replyOf(sample.answer, sample.fields)
      expect(verdictOf(protocol, reply).kind).toBe('ok')
      const plan = read(true)
      if ('bypass' in plan) throw new Error('not cacheable')
      expect(protocol.storable?.(reply, reply.body, plan, true) ?? true).toBe(true)
      const behind = protocol.answerFields ?? []
      expect(behind).toEqual(behind.map((name) => name.toLowerCase()))
      expect((protocol.habits ?? []).length % 2).toBe(0)
      expect((protocol.streamHabits ?? []).length % 2).toBe(0)
    })

    it.each(Object.keys(FAULTS) as FaultCode[])('finds in its own fault %s whose fault it is', (code) => {
      const { blame, status } = FAULTS[code]
      const verdict = verdictOf(protocol, protocol.fault(new GatewayError(code, 'why')))
      expect(['refused', 'overloaded', 'failed']).toContain(verdict.kind)
      // By their status 504 and 503 are nobody's mistake.
      if (status < 500) expect(isBackendFailure(verdict)).toBe(false)
      else if (blame !== 'caller') expect(isBackendFailure(verdict)).toBe(true)
    })

    it('leaves an answer that is no success as it came', () => {
      const failed = { ...replyOf('{"error":"no"}'), status: 503 }
      expect(protocol.address(failed, call)).toBe(failed)
    })

    it.each(Object.keys(FAULTS) as FaultCode[])('writes the fault %s as its clients read it', (code) => {
      const message = 'say "why" \\ and\nhow \u0001'
      const reply = protocol.fault(new GatewayError(code, message))
      if (sample.told) return expect(sample.told(reply).message).toBe(message)
      expect(reply.status).toBe(FAULTS[code].status)
      expect(Object.values(JSON.parse(textOf(reply)) as object)).toContain(message)
      const length = reply.headers[reply.headers.indexOf('content-length') + 1]
      expect(Number(length)).toBe((reply.body as Uint8Array).length)
    })
  })

  const rows = protocol.rows
  if (!rows) return
  const answered = (text: string) => replyOf(text, sample.fields)
  describe(`${protocol.name} keeps the Rows contract`, () => {
    const reading = read(true)
    if ('bypass' in reading || !reading.rows) throw new Error('the sample has no rows')
    const plan = reading
    const all = reading.rows

    it('finds the rows in the order of the caller', () => {
      expect(all).toHaveLength(3)
      expect(new Set(all.map((row) => row.digest)).size).toBe(3)
    })

    it('joins a part of the rows to the request that asks for just those', () => {
      const joined = rows.join(plan, all.slice(0, 2), body)
      const expected = protocol.read(call, bytes(sample.shorter), { seed: SEED, split: false })
      expect(protocol.read(call, joined.body, { seed: SEED, split: false })).toHaveProperty(
        'whole',
        (expected as { whole: string }).whole,
      )
    })

    it('keys a row alike whatever stands beside it', () => {
      const joined = rows.join(plan, [all[2], all[0]] as typeof all, body)
      const again = protocol.read(call, joined.body, { seed: SEED, split: true })
      if ('bypass' in again) throw new Error('not cacheable')
      expect(again.rows?.map((row) => row.digest)).toEqual([all[2]?.digest, all[0]?.digest])
      expect(again.batch).toBe(plan.batch)
    })

    it('puts an answer together again as it was cut', () => {
      const reply = answered(sample.answer)
      const cut = rows.cut(reply, reply.body, 3, plan)
      expect(cut).toHaveLength(3)
      expect(said(textOf(rows.assemble(plan, cut ?? [])))).toEqual(said(sample.answer))
    })

    it('cuts no answer of another number of rows, no error and no garbage', () => {
      const reply = answered(sample.answer)
      expect(rows.cut(reply, reply.body, 2, plan)).toBeUndefined()
      expect(rows.cut(reply, reply.body, 4, plan)).toBeUndefined()
      if (!sample.fields) expect(rows.cut({ ...reply, status: 500 }, reply.body, 3, plan)).toBeUndefined()
      else expect(rows.cut(replyOf(sample.answer), reply.body, 3, plan)).toBeUndefined()
      for (const text of ['', '{', 'null', '[]', '{}', '{"error":"x"}', `${sample.answer}x`]) {
        expect(rows.cut(answered(text), bytes(text), 3, plan)).toBeUndefined()
      }
    })

    it('assembles nothing from no rows, or from rows of unlike answers', () => {
      const reply = answered(sample.answer)
      const cut = rows.cut(reply, reply.body, 3, plan) ?? []
      expect(rows.assemble(plan, [])).toBeUndefined()
      const foreign = { frame: Buffer.from('foreign'), slice: cut[0]?.slice ?? new Uint8Array(0) }
      expect(rows.assemble(plan, [...cut.slice(1), foreign])).toBeUndefined()
      expect(rows.assemble(plan, [foreign])).toBeUndefined()
    })
  })
}

/** Of a dialect whose bodies name no model. */
function* nobody(): Generator<void, undefined> {}

/** JSON is compared by what it says. */
function said(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

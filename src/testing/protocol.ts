/** What every dialect keeps, ours or a third party's. */
import { describe, expect, it } from 'vitest'
import { Chunks } from '../core/chunks.ts'
import { FAULTS, type FaultCode, GatewayError } from '../core/errors.ts'
import { digestOf } from '../core/key.ts'
import { runToEnd } from '../lib/cooperative.ts'
import type { Protocol } from '../protocol/protocol.ts'
import { bytes, callOf, replyOf, SEED, textOf } from './protocol-call.ts'

export interface ProtocolSample {
  readonly path: string
  /** A prediction of three rows, where the dialect has rows. */
  readonly body: string
  /** The same with the last row left out. */
  readonly shorter: string
  /** The answer to `body`. */
  readonly answer: string
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

    it('leaves an answer that is no success as it came', () => {
      const failed = { ...replyOf('{"error":"no"}'), status: 503 }
      expect(protocol.address(failed, call)).toBe(failed)
    })

    it.each(Object.keys(FAULTS) as FaultCode[])('writes the fault %s as JSON with its status', (code) => {
      const message = 'say "why" \\ and\nhow \u0001'
      const reply = protocol.fault(new GatewayError(code, message))
      expect(reply.status).toBe(FAULTS[code].status)
      expect(Object.values(JSON.parse(textOf(reply)) as object)).toContain(message)
      const length = reply.headers[reply.headers.indexOf('content-length') + 1]
      expect(Number(length)).toBe((reply.body as Uint8Array).length)
    })
  })

  const rows = protocol.rows
  if (!rows) return
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
      const reply = replyOf(sample.answer)
      const cut = rows.cut(reply, reply.body, 3)
      expect(cut).toHaveLength(3)
      expect(JSON.parse(textOf(rows.assemble(plan, cut ?? [])))).toEqual(JSON.parse(sample.answer))
    })

    it('cuts no answer of another number of rows, no error and no garbage', () => {
      const reply = replyOf(sample.answer)
      expect(rows.cut(reply, reply.body, 2)).toBeUndefined()
      expect(rows.cut(reply, reply.body, 4)).toBeUndefined()
      expect(rows.cut({ ...reply, status: 500 }, reply.body, 3)).toBeUndefined()
      for (const text of ['', '{', 'null', '[]', '{}', '{"error":"x"}', `${sample.answer}x`]) {
        expect(rows.cut(replyOf(text), bytes(text), 3)).toBeUndefined()
      }
    })

    it('assembles nothing from no rows, or from rows of unlike answers', () => {
      const reply = replyOf(sample.answer)
      const cut = rows.cut(reply, reply.body, 3) ?? []
      expect(rows.assemble(plan, [])).toBeUndefined()
      const foreign = { frame: Buffer.from('foreign'), slice: cut[0]?.slice ?? new Uint8Array(0) }
      expect(rows.assemble(plan, [...cut.slice(1), foreign])).toBeUndefined()
      expect(rows.assemble(plan, [foreign])).toBeUndefined()
    })
  })
}

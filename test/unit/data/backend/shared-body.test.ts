import { expect, it } from 'vitest'
import { GatewayError } from '../../../../src/core/errors.ts'
import { Incoming, letGo } from '../../../../src/data/backend/incoming.ts'
import { SharedBody, type SharedBodyReader } from '../../../../src/data/backend/shared-body.ts'

/** A body that a test sends piece by piece, and what became of its source. */
function arriving(maxBytes: number) {
  const ended: (Error | undefined)[] = []
  const flow = { pause() {}, resume() {}, abort() {} }
  const source = new Incoming(flow, (error) => void ended.push(error))
  const send = async (...texts: string[]) => {
    for (const text of texts) {
      source.push(Buffer.from(text))
      await settled()
    }
  }
  return { source, body: new SharedBody(source, maxBytes), send, ended }
}

/** All that is due without time passing has been done. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

async function textOf(reader: SharedBodyReader | undefined): Promise<string> {
  let text = ''
  for await (const piece of reader as SharedBodyReader) text += Buffer.from(piece).toString()
  return text
}

/** Reads piece by piece, as its client does. */
function stepping(reader: SharedBodyReader | undefined) {
  const pieces = (reader as SharedBodyReader)[Symbol.asyncIterator]()
  return {
    async step() {
      const { value } = await pieces.next()
      return value && Buffer.from(value).toString()
    },
    leave: () => pieces.return?.(),
  }
}

const reasonOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )

it('is there from its beginning for who joins late, while it arrives and when it is all there', async () => {
  const { body, source, send } = arriving(100)
  const first = textOf(body.join())
  await send('a', 'b')
  const second = textOf(body.join())
  await send('c')
  source.end([])
  expect(await Promise.all([first, second, textOf(body.join()), body.collected()])).toEqual([
    'abc',
    'abc',
    'abc',
    Buffer.from('abc'),
  ])
})

it('gives a first piece before the second has come', async () => {
  const { body, send } = arriving(100)
  const reader = stepping(body.join())
  await send('a')
  expect(await reader.step()).toBe('a')
})

it('cannot be joined once more has come than is kept, and goes on for who reads it', async () => {
  const { body, source, send } = arriving(3)
  const reader = textOf(body.join())
  const collected = body.collected()
  await send('ab', 'cd')
  expect([body.join(), await collected]).toEqual([undefined, undefined])
  await send('e')
  source.end([])
  expect(await reader).toBe('abcde')
})

it('is read no faster than its only reader reads, once it is too long', async () => {
  const { body, source, send } = arriving(3)
  const reader = stepping(body.join())
  await send('ab', 'cd', 'ef', 'gh')
  source.end([])
  // Two pieces were taken from the source, the others wait in it.
  expect((await source.collect(100)).bytes.toString()).toBe('efgh')
  expect([await reader.step(), await reader.step()]).toEqual(['ab', 'cd'])
})

it('a slow reader holds nobody up, and ends with an error when it is too far behind', async () => {
  const { body, source, send, ended } = arriving(4)
  const [fast, slow] = [textOf(body.join()), stepping(body.join())]
  await send('ab', 'cd')
  expect(await slow.step()).toBe('ab')
  await send('ef')
  expect(await slow.step()).toBe('cd')
  // It is at work on a piece that begins four bytes before what the other has read.
  await send('gh')
  expect(await slow.step()).toBe('ef')
  await send('ij', 'kl', 'mn')
  const error = await reasonOf(slow.step())
  expect(error).toBeInstanceOf(GatewayError)
  expect(String(error)).toContain('4 bytes behind')
  source.end([])
  expect([await fast, ended]).toEqual(['abcdefghijklmn', [undefined]])
})

it('a piece longer than the bound cuts nobody who has read all before it', async () => {
  const { body, source, send } = arriving(2)
  const reader = textOf(body.join())
  await send('abcdefgh', 'ijklmnop')
  source.end([])
  expect(await reader).toBe('abcdefghijklmnop')
})

it('the last to leave cancels the source, though nothing more comes of it', async () => {
  const { body, send, ended } = arriving(100)
  const [a, b] = [stepping(body.join()), stepping(body.join())]
  await send('a')
  await Promise.all([a.step(), b.step()])
  await a.leave()
  expect(ended).toEqual([])
  await b.leave()
  expect(ended).toEqual([expect.any(Error)])
  expect(body.join()).toBeUndefined()
})

it('a reader that is let go of before it has read anything has left', async () => {
  const { body, ended } = arriving(100)
  letGo(body.join())
  await settled()
  expect(ended).toEqual([expect.any(Error)])
})

it('the fastest reader leaves, and the others set the pace', async () => {
  const { body, source, send } = arriving(2)
  const [fast, slow] = [stepping(body.join()), stepping(body.join())]
  await send('ab', 'c')
  expect([await fast.step(), await fast.step()]).toEqual(['ab', 'c'])
  await fast.leave()
  await send('d')
  expect([await slow.step(), await slow.step(), await slow.step()]).toEqual(['ab', 'c', 'd'])
  source.end([])
  expect(await slow.step()).toBeUndefined()
})

it('whoever holds it keeps it coming without a reader, until it is too long', async () => {
  const { body, source, send, ended } = arriving(3)
  const release = body.hold()
  const collected = body.collected()
  await stepping(body.join()).leave()
  await send('ab')
  expect(ended).toEqual([])
  await send('cd')
  expect(await collected).toBeUndefined()
  release()
  release()
  expect(ended).toEqual([expect.any(Error)])
  expect(source.isComplete).toBe(false)
})

it('fails for all who read and collect it', async () => {
  const { body, source, send } = arriving(100)
  const all = [textOf(body.join()), textOf(body.join()), body.collected()].map(reasonOf)
  await send('a')
  const cut = new Error('cut')
  source.fail(cut)
  expect(await Promise.all(all)).toEqual([cut, cut, cut])
  expect(body.join()).toBeUndefined()
})

/** What every store of models must do, whatever is behind it. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { StoreError } from '../../src/store/error.ts'
import type { ModelStore } from '../../src/store/model-store.ts'

/** A far side, and a store that reads it. */
export interface FarSide {
  readonly store: ModelStore
  /** Puts a version there, whole; replaces what it had. */
  put(version: string, bytes: Uint8Array): void
  remove(version: string): void
  /** What any request is answered from then on: nothing, the connection is closed. */
  goAway(): void
  comeBack(): void
  /** The next body breaks off in the middle. */
  truncateOnce(): void
  close(): Promise<void>
}

const signal = AbortSignal.timeout(60_000)
const NOTHING: ReadonlyMap<string, string> = new Map()

export async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts)
}

/** `versions`: whether it keeps a directory of them and not one file, whose version is 1. */
export function modelStoreContract(start: () => Promise<FarSide>, { versions }: { versions: boolean }): void {
  let far: FarSide
  beforeEach(async () => {
    far = await start()
  })
  afterEach(() => far.close())

  const look = async (known = NOTHING): Promise<Map<string, string>> =>
    new Map((await far.store.versions(known, signal)).map(({ version, mark }) => [version, mark]))

  async function bytesOf(version: string): Promise<Buffer> {
    const found = (await far.store.versions(NOTHING, signal)).find((each) => each.version === version)
    if (!found) throw new Error(`no version ${version}`)
    const download = await far.store.open(found, signal)
    const bytes = await readAll(download.body)
    await download.confirm()
    return bytes
  }

  const faultOf = (promise: Promise<unknown>): Promise<string | undefined> =>
    promise.then(
      () => undefined,
      (error: unknown) => (error instanceof StoreError ? error.fault : String(error)),
    )

  it('has no versions where there is nothing', async () => {
    expect(await look()).toEqual(new Map())
  })

  it('gives the bytes of a version, with their number', async () => {
    const bytes = Buffer.alloc(300_000, 'model')
    far.put('1', bytes)
    const [found] = await far.store.versions(NOTHING, signal)
    if (!found) throw new Error('no version')
    const download = await far.store.open(found, signal)
    expect(download.length ?? bytes.length).toBe(bytes.length)
    expect((await readAll(download.body)).equals(bytes)).toBe(true)
  })

  it('has the same mark while nothing changes, and another one when it does', async () => {
    far.put('1', Buffer.from('one'))
    const first = await look()
    expect(await look(first)).toEqual(first)
    far.put('1', Buffer.from('two'))
    const second = await look(first)
    expect(second.get('1')).not.toBe(first.get('1'))
    expect((await bytesOf('1')).toString()).toBe('two')
    far.remove('1')
    expect(await look(second)).toEqual(new Map())
  })

  it('does not open what has changed since it was listed', async () => {
    far.put('1', Buffer.from('one'))
    const [found] = await far.store.versions(NOTHING, signal)
    far.put('1', Buffer.from('another'))
    expect(found && (await faultOf(far.store.open(found, signal)))).toBe('incomplete')
  })

  it('is unreachable while the far side is away, and comes back', async () => {
    far.put('1', Buffer.from('one'))
    const before = await look()
    far.goAway()
    expect(await faultOf(look(before))).toBe('unreachable')
    far.comeBack()
    expect(await look(before)).toEqual(before)
  })

  it('tells of a body that breaks off', async () => {
    far.put('1', Buffer.alloc(200_000, 'x'))
    far.truncateOnce()
    expect(await faultOf(bytesOf('1'))).toMatch(/unreachable|incomplete/)
    expect(await bytesOf('1')).toHaveLength(200_000)
  })

  it('ends when it is told to', async () => {
    far.put('1', Buffer.from('one'))
    expect(await faultOf(far.store.versions(NOTHING, AbortSignal.abort()))).toBe('unreachable')
  })

  it.runIf(versions)('lists versions by number, the highest first', async () => {
    for (const version of ['2', '10', '1']) far.put(version, Buffer.from(version))
    expect([...(await look()).keys()]).toEqual(['10', '2', '1'])
    expect((await bytesOf('10')).toString()).toBe('10')
  })

  it.runIf(versions)('leaves out what is no version', async () => {
    for (const name of ['1', '01', '-1', '1.0', 'latest', '1._COPYING_', '1 ', '9'.repeat(19)])
      far.put(name, Buffer.from(name))
    expect([...(await look()).keys()]).toEqual(['1'])
  })
}

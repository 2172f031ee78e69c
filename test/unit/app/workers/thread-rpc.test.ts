import { MessageChannel } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { ThreadRpc } from '../../../../src/app/workers/thread-rpc.ts'
import { GatewayError } from '../../../../src/core/errors.ts'
import { systemClock } from '../../../../src/lib/clock.ts'

interface Service {
  double(n: number): number
  fail(how: 'fault' | 'listener' | 'other'): never
  hang(nothing: undefined): void
  note(word: string): void
  words(nothing: undefined): string[]
}

const close: (() => void)[] = []
afterEach(() => {
  for (const each of close.splice(0)) each()
})

function pair() {
  const { port1, port2 } = new MessageChannel()
  close.push(() => port1.close())
  const client = new ThreadRpc<Service, object>(port1, systemClock)
  const server = new ThreadRpc<object, Service>(port2, systemClock)
  client.handle({})
  const words: string[] = []
  server.handle({
    double: async (n) => 2 * n,
    fail(how) {
      if (how === 'fault') throw new GatewayError('unknownRoute', 'no route')
      throw Object.assign(
        new Error('failed'),
        how === 'listener' ? { code: 'EADDRINUSE', port: 80, address: '::' } : {},
      )
    },
    hang: () => new Promise<void>(() => {}),
    note: (word) => void words.push(word),
    words: () => words,
  })
  return client
}

describe('a link', () => {
  it('answers what is asked, after what was told before', async () => {
    const client = pair()
    client.notify('note', 'one')
    client.notify('note', 'two')
    expect(await client.call('words', undefined, 5_000)).toEqual(['one', 'two'])
    expect(await Promise.all([client.call('double', 4, 5_000), client.call('double', 5, 5_000)])).toEqual([
      8, 10,
    ])
  })

  it('passes errors on with what they say of themselves', async () => {
    const client = pair()
    const fault = await client.call('fail', 'fault', 5_000).catch((error: unknown) => error)
    expect(fault).toBeInstanceOf(GatewayError)
    expect(fault).toMatchObject({ code: 'unknownRoute', message: 'no route' })
    const listener = await client.call('fail', 'listener', 5_000).catch((error: unknown) => error)
    expect(listener).toMatchObject({ message: 'failed', code: 'EADDRINUSE', port: 80, address: '::' })
    await expect(client.call('fail', 'other', 5_000)).rejects.toThrow('failed')
    await expect(client.call('unknown' as 'fail', 'other', 5_000)).rejects.toThrow(
      'nobody here offers unknown',
    )
  })

  it('rejects what is not answered in time, or whose other side ends', async () => {
    const client = pair()
    await expect(client.call('hang', undefined, 10)).rejects.toThrow('no answer to hang within 10 ms')
    const hanging = client.call('hang', undefined, 60_000)
    client.end(new Error('it has ended'))
    await expect(hanging).rejects.toThrow('it has ended')
    await expect(client.call('double', 1, 5_000)).rejects.toThrow('it has ended')
    expect(client.isEnded).toBe(true)
    client.notify('note', 'to nobody')
  })
})

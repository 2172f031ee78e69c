/** Where credentials come from, gone wrong: what people are told, and that it names no secret. */
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { readApiKeys } from '../../src/app/api-keys/api-keys.ts'
import type { ApiKeySettings } from '../../src/config/schema.ts'
import { CredentialStore } from '../../src/control/credentials/credentials.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { readRegular } from '../../src/lib/regular-file.ts'
import { eventually } from '../support/eventually.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0).toReversed()) close()
})

function store() {
  const lines: unknown[] = []
  const state = { keys: [] as readonly ApiKeySettings[] }
  const record = (event: string, fields?: Record<string, unknown>) => void lines.push([event, fields])
  const credentials = new CredentialStore<ApiKeySettings>({
    clock: systemClock,
    log: { info: record, warn: record, error: record },
    random: Math.random,
    readKeys: readApiKeys,
    changed: ({ keys }) => (state.keys = keys),
  })
  closers.push(() => credentials.stop())
  return { credentials, lines, state }
}

async function server(answer: RequestListener): Promise<string> {
  const listening = createServer(answer)
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    listening.closeAllConnections()
    listening.close()
  })
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`
}

describe('the key set of an issuer', () => {
  it.each<[string, RequestListener, RegExp]>([
    ['refuses', (_, response) => void response.writeHead(403).end(), /status 403/],
    ['answers with a page', ({ url }, response) => void response.end(`<p>${url}`), /it is no JSON/],
    ['quotes the URL in what is no set', ({ url }, response) => void response.end(`"${url}"`), /no JWK Set/],
    ['breaks off', (_, response) => void response.destroy(), /socket hang up/],
  ])('whose server %s is told without the query of its URL', async (_name, answer, why) => {
    const at = await server(answer)
    const { credentials, lines } = store()
    await credentials.follow({ jwt: [{ jwks: `${at}/keys?api-key=hush-hush` }] })
    await eventually(() => expect(lines).toHaveLength(1))
    expect(credentials.problems).toEqual([expect.stringMatching(why)])
    expect(credentials.problems[0]).toContain(`auth: key set ${at}/keys?***: `)
    expect(JSON.stringify([lines, credentials.problems])).not.toContain('hush')
  })
})

describe('the file with keys', () => {
  const keys = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      name: `k${i}`,
      tenant: 't',
      hash: `sha256:${createHash('sha256').update(`${i}`).digest('hex')}`,
    }))

  it.each<[string, (path: string) => void, RegExp]>([
    ['a folder', (path) => mkdirSync(path), /it is a folder/],
    ['a pipe', (path) => void execFileSync('mkfifo', [path]), /no regular file/],
    ['nothing', () => {}, /ENOENT/],
    [
      'too large',
      (path) => (writeFileSync(path, ''), truncateSync(path, 65 << 20)),
      /larger than 67108864 bytes/,
    ],
    ['no text', (path) => writeFileSync(path, randomBytes(100_000)), /^\d+:\d+: |expected a list/],
    ['a text', (path) => writeFileSync(path, 'a\n'.repeat(10)), /^expected a list, got a text/],
    [
      'half of many keys',
      (path) => writeFileSync(path, JSON.stringify(keys(1_000)).slice(0, -9)),
      /^\d+:\d+: /,
    ],
    ['brackets without end', (path) => writeFileSync(path, '['.repeat(100_000)), /nested too deeply/],
  ])('that becomes %s is told, and what it held before stays', async (_name, put, why) => {
    const folder = mkdtempSync(join(tmpdir(), 'keys-'))
    closers.push(() => rmSync(folder, { recursive: true }))
    const [path, aside] = [join(folder, 'keys'), join(folder, 'aside')]
    writeFileSync(path, JSON.stringify(keys(3)))
    const { credentials, lines, state } = store()
    await credentials.follow({ keysFile: path, jwt: [] })
    expect(state.keys).toHaveLength(3)
    renameSync(path, aside)
    put(path)
    await eventually(() => expect(lines).toHaveLength(1), { timeoutMs: 20_000 })
    expect(credentials.problems).toEqual([expect.stringMatching(/^auth: keysFile: /)])
    expect(credentials.problems[0]?.slice('auth: keysFile: '.length)).toMatch(why)
    expect(state.keys).toHaveLength(3)
    rmSync(path, { recursive: true, force: true })
    renameSync(aside, path)
    await eventually(() => expect(credentials.problems).toEqual([]), { timeoutMs: 20_000 })
  })

  it('is read beside the event loop, for a bounded time and in bounded memory', async () => {
    const stop = new AbortController()
    const read = readApiKeys('['.repeat(30e6), stop.signal)
    read.catch(() => {})
    // Timers fire meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 50))
    stop.abort()
    await expect(read).rejects.toThrow('ended with')
  })

  it('is read no further than it may be long, however it grows', async () => {
    // Its size is 0 before it is read.
    await expect(readRegular('/proc/self/maps', 100)).rejects.toThrow('larger than 100 bytes')
  })
})

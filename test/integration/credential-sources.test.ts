/** Where credentials come from, gone wrong: what people are told, and that it names no secret. */
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { readKeys } from '../../src/config/keys-file.ts'
import type { ApiKeySettings } from '../../src/config/schema.ts'
import { CredentialStore } from '../../src/control/credentials/credentials.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { eventually } from '../support/eventually.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0).toReversed()) close()
})

function store() {
  const lines: unknown[] = []
  const record = (event: string, fields?: Record<string, unknown>) => void lines.push([event, fields])
  const credentials = new CredentialStore<ApiKeySettings>({
    clock: systemClock,
    log: { info: record, warn: record, error: record },
    random: Math.random,
    readKeys,
    changed: () => {},
  })
  closers.push(() => credentials.stop())
  return { credentials, lines }
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

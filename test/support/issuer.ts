/** An issuer of tokens: keys that rotate, a JWK Set over HTTP, tokens as a test wants them. By jose, on real sockets. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'

export interface TokenOptions {
  readonly alg?: string
  /** The key that signs it; left out: the newest. */
  readonly kid?: string
  /** What the header says instead. */
  readonly header?: Readonly<Record<string, unknown>>
  /** Seconds from now. */
  readonly expiresIn?: number | null
  readonly notBefore?: number
}

type Pair = Awaited<ReturnType<typeof generateKeyPair>>

export const AUDIENCE = 'infergate'

export async function startIssuer() {
  const pairs = new Map<string, Pair & { alg: string }>()
  let published: string[] = []
  let fetched = 0
  let isDown = false
  const jwks = async () => ({
    keys: await Promise.all(
      published.map(async (kid) => {
        const { publicKey, alg } = pairs.get(kid) as Pair & { alg: string }
        return { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
      }),
    ),
  })
  const server = createServer((_, response) => {
    fetched++
    if (isDown) return void response.writeHead(503).end()
    void jwks().then((set) => response.setHeader('content-type', 'application/json').end(JSON.stringify(set)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return {
    issuer,
    jwks: `${issuer}jwks.json`,
    /** How often the set was asked for. */
    get fetched() {
      return fetched
    },
    down(is: boolean) {
      isDown = is
    },
    set: jwks,
    /** Makes a key and publishes it beside the others. */
    async add(kid: string, alg = 'ES256') {
      pairs.set(kid, { ...(await generateKeyPair(alg, { extractable: true })), alg })
      published.push(kid)
    },
    withdraw(kid: string) {
      published = published.filter((one) => one !== kid)
    },
    async token(claims: JWTPayload = {}, options: TokenOptions = {}): Promise<string> {
      const { kid = [...pairs.keys()].at(-1) ?? '', expiresIn = 600, notBefore } = options
      const { privateKey, alg } = pairs.get(kid) as Pair & { alg: string }
      const now = Math.floor(Date.now() / 1000)
      const payload = {
        iss: issuer,
        aud: AUDIENCE,
        sub: 'ann',
        team: 'research',
        ...(expiresIn === null ? {} : { exp: now + expiresIn }),
        ...(notBefore === undefined ? {} : { nbf: now + notBefore }),
        ...claims,
      }
      return new SignJWT(payload).setProtectedHeader({ alg, kid, ...options.header }).sign(privateKey)
    },
    close: () => {
      server.closeAllConnections()
      return new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

export type TestIssuer = Awaited<ReturnType<typeof startIssuer>>

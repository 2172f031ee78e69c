/** The wall clock is set forward and back, as a person or a wrong time server may do: what was found of a token is looked at again. */
import { BlockList } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { AuthLive } from '../../../../src/data/auth/authenticator.ts'
import { Authenticator } from '../../../../src/data/auth/authenticator.ts'
import type { HttpExchange } from '../../../../src/data/exchange/exchange.ts'
import { authenticate } from '../../../../src/data/ingress/identified.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { AUDIENCE, startIssuer, type TestIssuer } from '../../../support/issuer.ts'

const HOUR = 3_600_000
const TOLERANCE = 30_000

let issuer: TestIssuer
beforeAll(async () => {
  issuer = await startIssuer()
  await issuer.add('k')
})
afterAll(() => issuer.close())

async function world() {
  const clock = new FakeClock()
  const start = Date.now()
  clock.setWall(start)
  const { keys } = await issuer.set()
  const settings = {
    issuer: issuer.issuer,
    audience: [AUDIENCE],
    jwks: issuer.jwks,
    algorithms: ['ES256'],
    tenant: 'claim.team',
    subject: 'claim.sub',
    clockTolerance: TOLERANCE,
  }
  const auth = new Authenticator({
    settings: { keys: [], jwt: [settings], forward: false, required: true },
    credentials: { keys: [], jwks: { [issuer.jwks]: keys } },
    policies: undefined,
    proxies: new BlockList(),
    keyMissing: async () => {},
    clock,
  })
  const live = { auth } as unknown as AuthLive
  const notes: Record<string, unknown> = { live }
  /** As a connection that repeats one head, whose notes are kept. */
  const ask = async (token: string) => {
    const headers = ['Authorization', `Bearer ${token}`]
    const exchange = { headers, notes, peer: '10.0.0.1' } as unknown as HttpExchange
    const found = await authenticate(exchange, live, clock.wall())
    notes['authentication'] = found
    return found?.refusal?.message ?? found?.identity?.tenant
  }
  return { clock, start, ask }
}

it('a token that was refused while the clock was an hour ahead is good when it is right again', async () => {
  const { clock, start, ask } = await world()
  const token = await issuer.token()
  clock.setWall(start + HOUR)
  expect(await ask(token)).toBe('the token has expired')
  clock.setWall(start)
  expect(await ask(token)).toBe('research')
})

it('a token is judged by the time that it is, however the clock jumps', async () => {
  const token = await issuer.token({}, { notBefore: 1_200, expiresIn: 2_400 })
  const jump = fc.oneof(
    fc.constantFrom(-HOUR, HOUR, -900_000, 900_000),
    fc.integer({ min: -HOUR, max: HOUR }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(jump, { minLength: 1, maxLength: 12 }), async (jumps) => {
      const { clock, start, ask } = await world()
      for (const ms of jumps) {
        clock.stepWall(ms)
        const at = clock.wall() - start
        // A second or two on either side may be rounded.
        if (Math.abs(at + TOLERANCE - 1_200_000) < 3_000 || Math.abs(at - 2_400_000) < TOLERANCE + 3_000)
          continue
        const isGood = at + TOLERANCE > 1_200_000 && at < 2_400_000
        expect([at, (await ask(token)) === 'research']).toEqual([at, isGood])
      }
    }),
    { numRuns: 40 },
  )
})

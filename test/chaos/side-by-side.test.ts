/**
 * A roll-out of the gateway itself: the build before and this one side by side on one Redis, before one server whose model
 * is replaced again and again, told and untold. Neither ever gives what the other kept for another model.
 */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DeployingServer, startDeploying } from '../support/deploying.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { landedBuild } from '../support/landed.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { redisTier, settings } from '../support/settings.ts'

const landed = await landedBuild()
const PATH = '/v1/models/m:predict'
/** An interval of the watch, and what a busy machine adds. */
const NOTICED_MS = 4_000
const ROUNDS = 12
const INPUTS = 8

describe.skipIf(landed === undefined)(
  'beside the build before (skipped where its commit is not in the history)',
  () => {
    let redis: TestServer
    let server: DeployingServer
    let old: RunningGateway
    let present: RunningGateway

    beforeAll(async () => {
      ;[redis, server] = await Promise.all([startRedis(), startDeploying()])
      const yaml = settings({ backends: [server], tiers: [redisTier(redis, '500ms')] })
      old = await startGateway({ yaml, main: landed as string })
      present = await startGateway({ yaml })
      await Promise.all([old.ready('main'), present.ready('main')])
    })
    afterAll(async () => {
      await Promise.all([old?.stop(), present?.stop()])
      await Promise.all([redis?.stop(), server?.close()])
    })

    const ask = async (gateway: RunningGateway, input: number) => {
      const { status, json, headers } = await gateway.post(PATH, { instances: [input] })
      expect(status).toBe(200)
      const [answer] = (json as { predictions: string[] }).predictions
      return { answer, isHit: String(headers['cache-status']).includes('; hit') }
    }

    /** Asks both, with other calls under way, until both give what the server itself would. */
    async function noticed(): Promise<void> {
      const { content } = server
      for (const gateway of [old, present])
        await eventually(
          async () => {
            for (let input = 0; input < INPUTS; input++)
              expect((await ask(gateway, input)).answer).toBe(`${content}/${input}`)
          },
          { timeoutMs: NOTICED_MS },
        )
    }

    it('each gives the present model, through deployments, rollbacks and purges', {
      timeout: 120_000,
    }, async () => {
      let hits = 0
      for (let round = 0; round < ROUNDS; round++) {
        server.content++
        const isTold = round % 3 !== 2
        // Forwards and back: a rollback is told by the version alone.
        if (isTold) server.version = (server.version % 2) + 1
        const purge = {
          method: 'POST',
          body: { model: 'm' },
          headers: { 'content-type': 'application/json' },
        }
        if (!isTold)
          for (const gateway of [old, present])
            expect((await gateway.ask('/api/v1/cache/purge', purge)).status).toBe(200)
        await noticed()
        // From now on the other's answers are none of its business, whoever kept them first.
        for (let i = 0; i < 3 * INPUTS; i++) {
          const gateway = (round + i) % 2 === 0 ? old : present
          const { answer, isHit } = await ask(gateway, i % INPUTS)
          expect(answer).toBe(`${server.content}/${i % INPUTS}`)
          if (isHit) hits++
        }
      }
      // Both really kept answers in Redis.
      expect(hits).toBeGreaterThan(ROUNDS * INPUTS)
    })

    it('neither reads the facts of the other', async () => {
      const client = new Redis({ port: redis.port, host: '127.0.0.1' })
      const keys = await client.keys('ig1:fact*')
      client.disconnect()
      expect(keys).toContain('ig1:facts:2')
      expect(keys).toContain('ig1:fact:deploy:main/m')
    })
  },
)

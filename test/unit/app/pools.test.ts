import { expect, it } from 'vitest'
import { Pools } from '../../../src/app/pools.ts'
import { healthSettings } from '../../../src/app/settings-mapping.ts'
import { parseSettings } from '../../../src/config/load.ts'
import { poolWith } from '../../../src/config/schema/pools.ts'
import { DEFAULT_HEALTH } from '../../../src/control/health/health.ts'
import { createOutlierState } from '../../../src/data/balance/outliers/outlier-state.ts'
import { createLoadTable } from '../../../src/data/balance/table.ts'
import { Wheel } from '../../../src/lib/wheel.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { silentObserver } from '../../support/observer.ts'

it('pools may have names that every object knows', async () => {
  const yaml = 'pools: { constructor: {}, toString: {} }\nroutes: [ { name: main, pool: constructor } ]'
  const parsed = parseSettings(yaml, 'gate.yaml', {})
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems))
  const clock = new FakeClock()
  const pools = new Pools({
    poolDefaults: poolWith().parse({}),
    tls: { pool: () => undefined },
    table: createLoadTable(8),
    outliers: createOutlierState(8),
    clock,
    wheel: new Wheel(clock),
    random: () => 0.5,
    observer: silentObserver,
    ownListeners: () => [],
    bodyTimeoutMs: 1000,
  })
  pools.shape(parsed.settings)
  pools.authorize({})
  expect(pools.names()).toEqual(['constructor', 'toString'])
  await pools.close()
  // Nor is the pool of an embedded model one of those written down.
  const access = { tls: { pool: () => undefined }, credential: undefined }
  expect(healthSettings(parsed.settings, 'valueOf', access)).toBe(DEFAULT_HEALTH)
})

/** What tenants get of a full pool, as short stories on real processes: each gives numbers, and says nothing about whether they are good. */
import { startBackends } from '../pool/backends.ts'
import { watchOthers } from '../pool/others.ts'
import { startProxy } from '../pool/proxies.ts'
import { latencyOf, type Played, partsOf, play, rateOf, settingsOf, type TenantPlan } from './tenants.ts'

/** Some 600 calls a second, which leaves most of the processors free. */
const CALL_MS = 25
const ROW_MS = 0.25
const PLACES = 16

interface Stage {
  readonly workers: number
  readonly places?: number
  readonly callMs?: number
  readonly rowMs?: number
  readonly spread?: number
}

/** A gateway and a backend in processes of their own; `story` is told their address. */
async function staged<T extends object>(
  { workers, places = PLACES, callMs = CALL_MS, rowMs = ROW_MS, spread = 0 }: Stage,
  tenants: readonly TenantPlan[],
  story: (url: string) => Promise<T>,
): Promise<T & { readonly others: number }> {
  const backends = await startBackends([{ serviceMs: callMs, rowMs, spread, slots: places }])
  const settings = settingsOf({ workers, backend: backends.urls[0] ?? '', places, tenants })
  const gateway = await startProxy('infergate', backends.urls, settings)
  try {
    // What is compiled while it runs is compiled by then.
    await play(
      gateway.url,
      tenants.map((tenant) => ({ ...tenant, from: 0, until: WARMING_MS })),
      WARMING_MS,
    )
    const others = watchOthers([process.pid, gateway.pid, backends.pid])
    const told = await story(gateway.url)
    return { ...told, others: others() }
  } finally {
    await gateway.stop()
    await backends.kill()
  }
}

const WARMING_MS = 1_500
const percent = (part = 0) => Math.round(1000 * part) / 10

const HEAVY: TenantPlan = { name: 'heavy', weight: 3, callers: 40 }
const LIGHT: TenantPlan = { name: 'light', weight: 1, callers: 60 }

/** Weights 3 and 1, both asking for more than there is: the heavy one's part of the rows, by second. */
export async function twoTenants(workers: number, rows: number, seconds = 4) {
  const tenants = [{ ...HEAVY, rows }, LIGHT]
  return staged({ workers }, tenants, async (url) => {
    const played = await play(url, tenants, 1000 * seconds)
    return {
      'in the second second %': percent(partsOf(played, 1_000, 2_000)['heavy']),
      'from then on %': percent(partsOf(played, 2_000, 1000 * seconds)['heavy']),
      failed: played.failed,
    }
  })
}

/** The light tenant is silent from the second to the fourth of six seconds. */
export async function silence(workers: number) {
  const tenants = [HEAVY, { ...LIGHT, until: 2_000 }, { ...LIGHT, from: 4_000 }]
  return staged({ workers }, tenants, async (url) => {
    const played = await play(url, tenants, 6_000)
    const most = (1000 * PLACES) / (CALL_MS + ROW_MS)
    const use = (from: number, to: number) =>
      percent((rateOf(played, 'heavy', from, to) + rateOf(played, 'light', from, to)) / most)
    return {
      'places in use before %': use(500, 2_000),
      'places in use while silent %': use(2_200, 4_000),
      'heavy once it is back %': percent(partsOf(played, 4_200, 6_000)['heavy']),
      failed: played.failed,
    }
  })
}

/** A third tenant that is sheddable, beside two that ask for more than there is, and then beside one that needs half of it. */
export async function leftovers(workers: number) {
  const third: TenantPlan = { name: 'third', priority: 'sheddable', callers: 40 }
  const half = (500 * PLACES) / (CALL_MS + ROW_MS)
  const tenants = [
    { ...HEAVY, until: 3_000 },
    { ...LIGHT, until: 3_000 },
    { name: 'heavy', weight: 3, rate: Math.round(half), from: 3_500 },
    third,
  ]
  return staged({ workers }, tenants, async (url) => {
    const played = await play(url, tenants, 6_000)
    return {
      'third beside two that want all %': percent(partsOf(played, 500, 3_000)['third']),
      'third beside one that wants half %': percent(partsOf(played, 4_000, 6_000)['third']),
      failed: played.failed,
    }
  })
}

export interface Flooded {
  readonly workers: number
  readonly places: number
  readonly floor: number
}

/**
 * A critical tenant that needs a fifth of the pool: alone, and in a flood of others, in turns. Calls are long, so that what the
 * processors of a busy machine add to them is little beside what the pool does.
 */
export async function critical({ workers, places, floor }: Flooded, turns = 3, turnMs = 10_000) {
  const callMs = places < 32 ? 200 : 400
  const urgent: TenantPlan = {
    name: 'urgent',
    priority: 'critical',
    floor,
    rate: (0.2 * places * 1000) / callMs,
  }
  const flood: readonly TenantPlan[] = [
    { name: 'standard', callers: 4 * places },
    { name: 'spare', priority: 'sheddable', callers: 4 * places },
  ]
  // Calls that all took the same time would end together, again and again.
  return staged({ workers, places, callMs, rowMs: 0, spread: 0.5 }, [urgent, ...flood], async (url) => {
    const alone: Played[] = []
    const flooded: Played[] = []
    for (let turn = 0; turn < turns; turn++) {
      alone.push(await play(url, [urgent], turnMs))
      flooded.push(await play(url, [urgent, ...flood], turnMs))
    }
    const p99 = (all: readonly Played[]) =>
      latencyOf({ answered: all.flatMap(({ answered }) => answered), failed: 0 }, 'urgent', 0.99, 2_000)
    const [before, after] = [p99(alone), p99(flooded)]
    return {
      'p99 alone': Math.round(10 * before) / 10,
      'p99 in the flood': Math.round(10 * after) / 10,
      ratio: Math.round((100 * after) / before) / 100,
    }
  })
}

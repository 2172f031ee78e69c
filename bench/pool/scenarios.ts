/**
 * What can go wrong with a pool of four, as data and as short stories: each gives numbers, and says nothing about whether
 * they are good.
 */
import { load, round, type Sample, type Summary, summarise } from '../load.ts'
import { type Backends, type Script, startBackends } from './backends.ts'
import { watchOthers } from './others.ts'
import { type Proxy, type ProxyName, ready, startProxy } from './proxies.ts'

export const GOOD: Script = { serviceMs: 20, slots: 8 }
/** Twenty times slower, and says so to nobody. */
const SLOW: Script = { serviceMs: 400, slots: 8 }
/** Its health check goes on saying that all is well. */
const FAILING: Script = { serviceMs: 1, status: 500 }

export const PATH = '/v1/models/m:predict'
/** No two alike, so that no cache can help. */
export const body = (n: number): string => JSON.stringify({ instances: [[n, performance.now()]] })

export interface Steady {
  readonly name: 'three good ones' | 'slow backend' | 'fast failures'
  readonly scripts: readonly Script[]
}

/** Under the same load, one after the other, for every proxy. */
export const STEADY: readonly [Steady, Steady, Steady] = [
  { name: 'three good ones', scripts: [GOOD, GOOD, GOOD] },
  { name: 'slow backend', scripts: [GOOD, GOOD, GOOD, SLOW] },
  { name: 'fast failures', scripts: [GOOD, GOOD, GOOD, FAILING] },
]

export interface SteadyResult extends Summary {
  /** Share of the picks that the fourth backend got from a second on after its script began, in percent. */
  readonly fourthPercent: number
}

/**
 * Calls at a fixed rate. For three seconds all backends are good, so that programs that compile as they run have done so;
 * then the script begins. All calls count from there on, those of the time in which a proxy is still learning too; the
 * picks of the fourth count from a second later.
 */
export async function steady(
  proxy: ProxyName,
  { scripts }: Steady,
  load_: { rate: number; durationMs: number },
) {
  const good = scripts.map(() => GOOD)
  return around(proxy, good, async (at, backends): Promise<SteadyResult> => {
    const durationMs = WARMING_MS + load_.durationMs
    const running = load({ url: at.url + PATH, body, rate: load_.rate, durationMs })
    await sleep(WARMING_MS)
    scripts.forEach((script, i) => backends.script(i, script))
    await sleep(LEARNING_MS)
    const before = await backends.counts()
    const samples = await running
    const picks = (await backends.counts()).map((count, i) => count - (before[i] ?? 0))
    const all = picks.reduce((sum, count) => sum + count, 0)
    const fourthPercent = round1000(((picks[3] ?? 0) * 100) / all)
    return { ...summarise(samples, WARMING_MS), fourthPercent }
  })
}

const WARMING_MS = 3_000
const LEARNING_MS = 1_000

/**
 * Answers that 36 callers get in a second from backends with 24 good slots, counted as they come. All take three times as
 * long here, so that the slots are the bound and not the processors of this machine.
 */
export async function throughput(
  proxy: ProxyName,
  { scripts }: Steady,
  durationMs: number,
): Promise<Watched<Summary>> {
  const slower = scripts.map((script) => ({ ...script, serviceMs: 3 * script.serviceMs }))
  return around(proxy, slower, async (at) => {
    const samples = await load({
      url: at.url + PATH,
      body,
      callers: 36,
      durationMs: WARMING_MS + durationMs,
    })
    const ends = samples.filter(({ status }) => status === 200).map((sample) => sample.at + sample.ms)
    const counted = ends.filter((end) => end >= WARMING_MS && end < WARMING_MS + durationMs)
    return { ...summarise(samples, WARMING_MS), perSecond: round((counted.length * 1000) / durationMs) }
  })
}

export interface AllFailing {
  /** Calls upstream for each call of a client's. */
  readonly amplification: number
  /** p99 of the failed answers, in milliseconds. */
  readonly failedP99: number
  /** From the moment the backends are well again to the last failed call. */
  readonly recoveryMs: number
}

export interface FailingLoad {
  /** Open loop: calls a second. */
  readonly rate?: number
  /** Closed loop: callers that wait for their answers, and so make fewer calls the longer a failure takes. */
  readonly callers?: number
  readonly failMs: number
  /** Default: 500 after a millisecond. */
  readonly failing?: Script
}

/** Fails, but takes its time. */
export const SLOWLY_FAILING: Script = { serviceMs: 100, slots: 8, status: 500 }

/** All four fail for a while and then are well. */
export async function allFailing(proxy: ProxyName, { failMs, failing = FAILING, ...loop }: FailingLoad) {
  return around(proxy, [GOOD, GOOD, GOOD, GOOD], async (at, backends): Promise<AllFailing> => {
    const [failFrom, afterMs] = [2_000, 5_000]
    const running = load({ url: at.url + PATH, body, ...loop, durationMs: failFrom + failMs + afterMs })
    const began = performance.now()
    const all = (script: Script) => backends.urls.forEach((_, i) => backends.script(i, script))
    await sleep(failFrom)
    all(failing)
    // The calls under way when the script changes still belong to the good time.
    await sleep(500)
    const [from, before] = [performance.now() - began, await backends.counts()]
    await sleep(failMs - 500)
    const [until, after] = [performance.now() - began, await backends.counts()]
    all(GOOD)
    const samples = await running
    const upstream = after.reduce((sum, count, i) => sum + count - (before[i] ?? 0), 0)
    const during = samples.filter(({ at: due }) => due >= from && due < until)
    const failed = during.filter(({ status }) => status !== 200)
    const lastFailed = Math.max(
      until,
      ...samples.filter(({ status }) => status !== 200).map((s) => s.at + s.ms),
    )
    return {
      amplification: Math.round((upstream / during.length) * 1000) / 1000,
      failedP99: summarise(failed).p99,
      recoveryMs: round(lastFailed - until),
    }
  })
}

/** One of four processes is killed, without a word, while calls run. */
export async function killed(proxy: ProxyName, { rate, durationMs }: { rate: number; durationMs: number }) {
  return processes(proxy, async (at, members) => {
    const running = load({ url: at.url + PATH, body, rate, durationMs })
    await sleep(durationMs / 3)
    await members[1]?.kill()
    return summarise(await running)
  })
}

export interface Rolling {
  readonly rate: number
  /** Before each restart, and after the last. */
  readonly pauseMs: number
  /** Default 4. */
  readonly count?: number
}

/** All, one after the other: drained and removed by the admin API, killed, started anew and registered. */
export async function rollingRestart({ rate, pauseMs, count = 4 }: Rolling): Promise<Summary> {
  const members = await Promise.all(Array.from({ length: count }, () => startBackends([GOOD])))
  const proxy = await startProxy('infergate', [])
  try {
    for (const [i, { urls }] of members.entries()) await register(proxy, i, urls[0] ?? '')
    await ready(proxy.admin, count)
    const stop = { at: Infinity }
    const samples = endless(proxy, rate, stop)
    for (const [i, old] of members.entries()) {
      await sleep(pauseMs)
      await fetch(`${proxy.admin}/api/v1/pools/main/backends/b${i}?drain=10s`, { method: 'DELETE' })
      await ready(proxy.admin, count - 1)
      await gone(proxy, `b${i}`)
      await old.kill()
      const next = await startBackends([GOOD])
      members[i] = next
      await register(proxy, i, next.urls[0] ?? '')
      await ready(proxy.admin, count)
    }
    await sleep(pauseMs)
    stop.at = 0
    return summarise(await samples)
  } finally {
    await proxy.stop()
    await Promise.all(members.map((member) => member.kill()))
  }
}

/** Load in slices of half a second, for as long as the story takes. */
async function endless(proxy: Proxy, rate: number, stop: { at: number }): Promise<Sample[]> {
  const slices: Promise<Sample[]>[] = []
  while (stop.at > slices.length) {
    const slice = load({ url: proxy.url + PATH, body, rate, durationMs: 500 })
    slices.push(slice)
    await sleep(500)
  }
  return (await Promise.all(slices)).flat()
}

async function register({ admin }: Proxy, i: number, url: string): Promise<void> {
  const answer = await fetch(`${admin}/api/v1/pools/main/backends/b${i}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url, epoch: Date.now(), lease: { ttlMs: 600_000 } }),
  })
  if (!answer.ok) throw new Error(await answer.text())
}

async function gone({ admin }: Proxy, id: string): Promise<void> {
  for (const deadline = performance.now() + 15_000; performance.now() < deadline; await sleep(20)) {
    const { backends } = (await (await fetch(`${admin}/api/v1/pools/main`)).json()) as {
      backends: { id: string }[]
    }
    if (!backends.some((backend) => backend.id === id)) return
  }
  throw new Error(`${id} did not go`)
}

/** What a story gave, and how many processors other programs kept busy meanwhile. */
type Watched<T> = T & { readonly others: number }

async function around<T>(
  name: ProxyName,
  scripts: readonly Script[],
  story: (proxy: Proxy, backends: Backends) => Promise<T>,
): Promise<Watched<T>> {
  const backends = await startBackends(scripts)
  const proxy = await startProxy(name, backends.urls)
  const others = watchOthers([process.pid, backends.pid, proxy.pid])
  try {
    const result = await story(proxy, backends)
    return { ...result, others: others() }
  } finally {
    await proxy.stop()
    await backends.kill()
  }
}

async function processes<T>(
  name: ProxyName,
  story: (proxy: Proxy, members: Backends[]) => Promise<T>,
): Promise<T> {
  const members = await Promise.all([0, 1, 2, 3].map(() => startBackends([GOOD])))
  const proxy = await startProxy(
    name,
    members.flatMap(({ urls }) => urls),
  )
  try {
    return await story(proxy, members)
  } finally {
    await proxy.stop()
    await Promise.all(members.map((member) => member.kill()))
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const round1000 = (value: number): number => Math.round(value * 1000) / 1000

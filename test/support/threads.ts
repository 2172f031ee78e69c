/** Threads of a test: a piece of source in a Worker, with modules of ours by their path, ended with the test. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterEach } from 'vitest'

const threads = new Set<Worker>()

afterEach(async () => {
  await Promise.all([...threads].map((thread) => thread.terminate()))
  threads.clear()
})

const HEAD = `
import { parentPort, workerData } from 'node:worker_threads'
const load = (path) => import(workerData.src + path)
`

export interface TestThread {
  readonly thread: Worker
  readonly first: unknown
  /** Resolves when the thread is gone, also where it already was when its first message was read. */
  readonly exited: Promise<unknown>
}

/** Runs `source`, which has `parentPort`, `workerData` and `load('data/…')`; resolves with its first message. */
export async function startThread(source: string, data: object): Promise<TestThread> {
  const src = new URL('../../src/', import.meta.url).href
  const url = new URL(`data:text/javascript,${encodeURIComponent(HEAD + source)}`)
  const thread = new Worker(url, { workerData: { ...data, src } })
  threads.add(thread)
  const exited = once(thread, 'exit')
  const [first] = (await once(thread, 'message')) as [unknown]
  return { thread, first, exited }
}

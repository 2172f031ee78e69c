/**
 * One set-up at a time: `npm start` and `npm test` begun together must not both fill node_modules.
 *
 * The lock is a file that exists; its owner touches it every second. A waiter takes it over when the
 * owner's process is gone, or when the file was not touched for `STALE_MS` of the waiter's own
 * monotonic clock (wall clocks jump, and process numbers mean nothing between containers).
 */
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { Failure, say } from './say.mjs'

const POLL_MS = 200
const STALE_MS = 20_000
const PATIENCE_MS = 30 * 60_000

export async function whileLocked(path, work) {
  await acquire(path)
  const beat = setInterval(() => touch(path), 1_000)
  const release = () => rmSync(path, { force: true })
  process.once('exit', release)
  try {
    return await work()
  } finally {
    clearInterval(beat)
    process.off('exit', release)
    release()
  }
}

async function acquire(path) {
  mkdirSync(dirname(path), { recursive: true })
  const started = performance.now()
  let seen = ''
  let seenAt = started
  let told = false
  while (!create(path)) {
    const state = look(path)
    if (state.mark !== seen) {
      seen = state.mark
      seenAt = performance.now()
    }
    if (state.abandoned || performance.now() - seenAt > STALE_MS) {
      takeOver(path, state.mark)
      continue
    }
    if (!told) say('another set-up is at work in this folder, waiting for it')
    told = true
    if (performance.now() - started > PATIENCE_MS)
      throw new Failure(`gave up waiting; remove ${path} and try again`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

function create(path) {
  try {
    writeFileSync(path, JSON.stringify({ pid: process.pid, host: hostname() }), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw new Failure(`cannot write ${path}: ${error.message}`)
  }
}

function look(path) {
  try {
    const text = readFileSync(path, 'utf8')
    return { mark: `${text} ${statSync(path).mtimeMs}`, abandoned: isAbandoned(text) }
  } catch {
    // Released between our attempt and our look, or not yet written: the next round decides.
    return { mark: '', abandoned: false }
  }
}

function isAbandoned(text) {
  try {
    const { pid, host } = JSON.parse(text)
    if (host !== hostname()) return false
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}

/** Two waiters must not remove one after the other: the second would remove the first one's new lock. */
function takeOver(path, mark) {
  const guard = `${path}.takeover`
  if (!create(guard)) {
    if (performance.timeOrigin + performance.now() - modifiedMs(guard) > STALE_MS)
      rmSync(guard, { force: true })
    return
  }
  try {
    if (look(path).mark === mark) rmSync(path, { force: true })
  } finally {
    rmSync(guard, { force: true })
  }
}

function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY
}

function touch(path) {
  const now = new Date()
  try {
    utimesSync(path, now, now)
  } catch {
    // Taken from us after a long freeze: whoever took it works on the same goal.
  }
}

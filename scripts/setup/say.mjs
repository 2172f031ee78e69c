/** How the set-up talks: plain lines on stderr, a sign of life during long work, one kind of error. */

/** A failure that is not ours to explain with a stack: the message says what happened and what to do. */
export class Failure extends Error {}

export function say(line) {
  process.stderr.write(`infergate setup: ${line}\n`)
}

/** Prints `what` with the seconds gone by every `everyMs`, until the returned function is called. */
export function keepSaying(what, everyMs = 5_000) {
  const started = performance.now()
  const seconds = () => Math.round((performance.now() - started) / 1000)
  const timer = setInterval(() => say(`${what} (${seconds()} s so far)`), everyMs)
  return () => {
    clearInterval(timer)
    return seconds()
  }
}

/** Runs one long command: output kept for the error message, a deadline, and no orphan when we are interrupted. */
import { spawn } from 'node:child_process'

/**
 * Resolves with the exit code and everything the command wrote; never rejects.
 * `code` is undefined when the command could not be started or was ended by a signal or the deadline.
 */
export function run(command, args, { cwd, env, deadlineMs }) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let late = false
    const keep = (chunk) => {
      output = (output + chunk).slice(-200_000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)

    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, deadlineMs)
    let interrupted = false
    const stop = (signal) => {
      interrupted = true
      child.kill(signal)
      setTimeout(() => child.kill('SIGKILL'), 5_000).unref()
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)

    const end = (code, signal, error) => {
      clearTimeout(timer)
      process.off('SIGINT', stop)
      process.off('SIGTERM', stop)
      resolve({ code, signal, output, late, interrupted, error })
    }
    child.on('error', (error) => end(undefined, undefined, error))
    child.on('close', (code, signal) => end(code ?? undefined, signal))
  })
}

/** The last lines of a command's output that say something. */
export function tail(output, lines = 12) {
  return output.trim().split('\n').slice(-lines).join('\n')
}

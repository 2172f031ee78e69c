/**
 * One system's run: installs for it, starts for it, keeps what was seen, and at the end stops what still runs. A
 * system file reads from top to bottom: environments, server, gateways, what is asked.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { within } from './eventually.ts'
import { type Gateway, type GatewayOptions, startGateway } from './gateway.ts'
import { NotInstalled } from './not-installed.ts'
import { CACHE } from './places.ts'
import { type Command, type RunningProcess, startProcess } from './processes.ts'
import { type Python, type PythonEnvironment, pythonEnvironment } from './python.ts'
import { startRecorder } from './recorder.ts'
import type { CheckResult, SystemResult } from './results.ts'

const CHECK_MS = 300_000

/** A system that stands around the gateway: a name, a line about it, and how it is tried. */
export interface System {
  /** As it is called on the command line; its results are kept under this name. */
  readonly name: string
  /** One line for `--list` and the page. */
  readonly title: string
  /** Its page below docs/guide, which the page of results leads to. */
  readonly guide: string
  /** Differences that are known and stay: the name of a check, and the reason why its two sides differ. */
  readonly differences?: Readonly<Record<string, string>>
  /** Installs, starts, asks. What the session started is stopped when this settles, whatever happened. */
  run(session: Session): Promise<void>
}

export interface SessionOptions {
  /** Hears what goes on, for the terminal. */
  say(line: string): void
  /** Hears of every check that ended. */
  checked(check: CheckResult): void
  /** Writes what goes over the wire to files, in place of comparing answers. */
  readonly recording: boolean
}

export interface Server extends RunningProcess {
  /** Starts it again, as it was, after `kill` or `stop`. */
  start(): Promise<void>
}

export class Session {
  readonly system: System
  /** Scratch files and logs of this run; emptied when the next one begins. */
  readonly folder: string
  readonly recording: boolean
  readonly say: (line: string) => void
  readonly software: Record<string, string> = {}
  readonly commands: string[] = []
  private readonly checked: (check: CheckResult) => void
  private readonly checks: CheckResult[] = []
  private readonly gateways: Gateway[] = []
  private readonly running: { stop(): Promise<void> }[] = []

  constructor(system: System, { say, checked, recording }: SessionOptions) {
    this.recording = recording
    this.system = system
    this.say = say
    this.checked = checked
    this.folder = join(CACHE, 'runs', system.name)
    rmSync(this.folder, { recursive: true, force: true })
    mkdirSync(this.folder, { recursive: true })
  }

  /** The environment, installed where it is not; `packages` are those whose versions the page shows. */
  async python(environment: PythonEnvironment, packages: readonly string[]): Promise<Python> {
    const python = await pythonEnvironment(environment, this.say)
    for (const name of packages) this.uses(name, await python.version(name))
    return python
  }

  /** Software that took part, for the page. */
  uses(software: string, version: string): void {
    this.software[software] = version
  }

  /** Starts a server and waits until it is ready; `shown` is its command as the page gives it. */
  async start(command: Omit<Command, 'log'>, shown?: string): Promise<Server> {
    this.say(`starting ${command.name}`)
    if (shown !== undefined && !this.commands.includes(shown)) this.commands.push(shown)
    const whole = { ...command, log: join(this.folder, `${command.name.replaceAll(/\W+/g, '-')}.log`) }
    let current = await startProcess(whole)
    const server: Server = {
      get pid() {
        return current.pid
      },
      ended: () => current.ended(),
      stop: () => current.stop(),
      kill: () => current.kill(),
      async start() {
        current = await startProcess(whole)
      },
    }
    this.running.push(server)
    return server
  }

  /** Starts a gateway in front of a server. */
  async gateway(options: GatewayOptions): Promise<Gateway> {
    const recorder = this.recording ? await startRecorder(options.upstream) : undefined
    if (recorder) this.running.push(recorder)
    const gateway = await startGateway(options, this.folder, recorder)
    this.gateways.push(gateway)
    return gateway
  }

  /** Runs parts side by side. Their checks are kept in the order of the parts; what one of them throws is thrown when all have ended. */
  async together(...parts: readonly ((session: Session) => Promise<void>)[]): Promise<void> {
    const tracks = parts.map((part) => {
      const checks: CheckResult[] = []
      const session = Object.create(this, { checks: { value: checks } }) as Session
      return { checks, ended: part(session) }
    })
    const ends = await Promise.allSettled(tracks.map(({ ended }) => ended))
    this.checks.push(...tracks.flatMap(({ checks }) => checks))
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed) throw failed.reason
  }

  /** Stopped at the end with the servers, last come first. */
  owns(resource: { stop(): Promise<void> }): void {
    this.running.push(resource)
  }

  /**
   * Tries one thing. `work` gives in words how the two sides differ, undefined where they agree; what it throws is a
   * difference too, but for NotInstalled, with which the check is skipped. A difference that the system declares counts
   * as one only as long as it is seen.
   */
  async check(group: string, name: string, work: () => Promise<string | undefined>): Promise<void> {
    const declared = this.system.differences?.[name]
    const judgement = await within(CHECK_MS, name, work()).then(
      (seen) => judged(seen, declared),
      (error: unknown) => (error instanceof NotInstalled ? skipped(error) : judged(reason(error), declared)),
    )
    const check = { group, name, ...judgement }
    this.checks.push(check)
    this.checked(check)
  }

  result(skipped?: string): SystemResult {
    return {
      title: this.system.title,
      date: new Date().toISOString().slice(0, 10),
      software: this.software,
      commands: this.commands,
      ...(skipped === undefined ? {} : { skipped }),
      checks: this.checks,
    }
  }

  /** Gateways first: what they do on their way out needs the servers. */
  async stop(): Promise<void> {
    await Promise.all(this.gateways.map((gateway) => gateway.stop()))
    for (const resource of this.running.toReversed()) await resource.stop()
  }
}

/** Runs a system from its installation to the end of what it started. */
export async function runSystem(system: System, options: SessionOptions): Promise<SystemResult> {
  const session = new Session(system, options)
  try {
    await system.run(session)
    return session.result()
  } catch (error) {
    if (error instanceof NotInstalled) return session.result(error.message)
    await session.check('the run itself', 'runs to its end', async () => reason(error))
    return session.result()
  } finally {
    await session.stop()
  }
}

type Judgement = Pick<CheckResult, 'outcome' | 'detail'>

const skipped = ({ message }: NotInstalled): Judgement => ({ outcome: 'skipped', detail: message })

function judged(seen: string | undefined, declared: string | undefined): Judgement {
  if (seen === undefined && declared === undefined) return { outcome: 'agrees' }
  if (seen === undefined)
    return { outcome: 'fails', detail: 'a declared difference is no longer seen: take it out' }
  return declared === undefined
    ? { outcome: 'fails', detail: seen }
    : { outcome: 'differs', detail: declared }
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** h2spec, a conformance test of HTTP/2 servers, against the gateway's data port in front of a small server. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Session, System } from '../../suite/session.ts'
import { certificate } from '../certificate.ts'
import { goPrograms } from '../go.ts'

const VERSION = 'v2.2.1+incompatible'
/** A case waits two seconds for what must not come, and there are 146. */
const RUN_MS = 280_000

export const h2spec: System = {
  name: 'h2spec',
  title: 'h2spec, which tests what an HTTP/2 server must do',
  guide: 'backends.md',
  async run(session) {
    const bin = await goPrograms(
      { module: 'github.com/summerwind/h2spec', version: VERSION, packages: ['cmd/h2spec'] },
      session.say,
    )
    session.uses('h2spec', VERSION)
    session.commands.push('h2spec -p 8080', 'h2spec -p 8443 -t -k')
    const upstream = await startBackend(session)
    const { cert, key } = certificate(session.folder)
    const tls = { server: { tls: { certificates: [{ cert, key }] } } }
    await trySpec(session, { program: join(bin, 'h2spec'), upstream, group: 'plain', args: [], more: {} })
    await trySpec(session, {
      program: join(bin, 'h2spec'),
      upstream,
      group: 'TLS',
      args: ['-t', '-k'],
      more: tls,
    })
  },
}

/** Reads every body to its end and answers, as h2spec expects of any path. */
async function startBackend(session: Session): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.end('an answer\n'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  session.owns({
    stop: async () => {
      server.closeAllConnections()
      server.close()
    },
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Run {
  readonly program: string
  readonly upstream: string
  readonly group: string
  readonly args: readonly string[]
  /** Settings of the gateway beside its route. */
  readonly more: object
}

async function trySpec(session: Session, { program, upstream, group, args, more }: Run): Promise<void> {
  const settings = {
    pools: { upstream: { backends: [{ url: upstream }] } },
    routes: [{ name: 'all', pool: 'upstream', protocol: 'opaque' as const }],
    ...more,
  }
  const gateway = await session.gateway({ name: group.toLowerCase(), upstream, settings })
  const report = join(session.folder, `${group}.xml`)
  session.say(`h2spec, ${group}`)
  const port = new URL(gateway.url).port
  // It exits with 1 where a case fails; what counts is its report.
  await new Promise<void>((resolve) => {
    execFile(program, ['-p', port, '-j', report, ...args], { timeout: RUN_MS }, () => resolve())
  })
  for (const { section, name, outcome } of cases(readFileSync(report, 'utf8'))) {
    await session.check(`${group}, ${section}`, `${name}, ${group}`, async () => outcome)
  }
}

interface Case {
  readonly section: string
  readonly name: string
  /** What went wrong; undefined where it passed. */
  readonly outcome: string | undefined
}

/** The cases of a report in JUnit's form, without those that h2spec skipped. */
function cases(report: string): Case[] {
  const found = report.matchAll(
    /<testcase package="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs,
  )
  return [...found].flatMap(([, place = '', title = '', inside = '']) =>
    inside.includes('<skipped') ? [] : [oneCase(place, title, inside)],
  )
}

function oneCase(place: string, title: string, inside: string): Case {
  const failed = /<(?:failure|error)/.test(inside)
  const outcome = failed ? inside.replaceAll(/<[^>]*>/g, ' ').trim() || 'it failed' : undefined
  return { section: place.split('/')[0] ?? '', name: `${place} ${title}`, outcome }
}

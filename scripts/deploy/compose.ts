/** deploy/compose.yaml, read by the implementation of the Compose Specification that Docker has too. */
import { join } from 'node:path'
import { run } from '../../interop/suite/run.ts'
import type { Session } from '../../interop/suite/session.ts'
import { goProgramsOfModule } from '../../interop/systems/go.ts'
import { ROOT } from './places.ts'

const COMPOSE = { module: 'github.com/compose-spec/compose-go/v2', version: 'v2.16.2' }
const TIMEOUT_MS = 60_000

export async function tryCompose(session: Session): Promise<void> {
  const bin = await goProgramsOfModule({ ...COMPOSE, packages: ['cmd'] }, session.say)
  session.uses('compose-go', COMPOSE.version.slice(1))
  const cwd = join(ROOT, 'deploy')
  await session.check('compose', 'the file is of the Compose Specification', async () => {
    const { stdout } = await run(join(bin, 'cmd'), ['-format', 'json', 'compose.yaml'], {
      cwd,
      timeoutMs: TIMEOUT_MS,
    })
    const { services } = JSON.parse(stdout) as { services: object }
    const names = Object.keys(services).sort().join(' ')
    return names === 'gateway grafana prometheus redis' ? undefined : `its services are ${names}`
  })
}

/** A pod of the chart as it is: the embedded model runs as the pod's user, and nothing is written but into volumes. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Session } from '../../interop/suite/session.ts'
import type { Audited } from './cluster.ts'
import type { Helm } from './helm.ts'
import { ROOT } from './places.ts'
import { installRelease } from './release.ts'

const GROUP = 'a pod of the chart as it is'
const DIGIT = join(ROOT, 'models', 'samples', 'digit-7.v1.json')

export async function tryDefaultPod(session: Session, helm: Helm, audited: Audited): Promise<void> {
  const release = await installRelease(session, helm, audited, { namespace: 'plain' })
  const pod = await release.start()
  await session.check(GROUP, 'is ready, and its model answers', async () => {
    const body = JSON.parse(readFileSync(DIGIT, 'utf8')) as unknown
    const { status, body: answer } = await release.ask('http', '/v1/models/digits:predict', body)
    return status === 200 && answer.includes('"digit": 7') ? undefined : `it was answered ${status} ${answer}`
  })
  await session.check(GROUP, 'metrics need no token, the rest of the admin API does', async () => {
    const paths = ['/metrics', '/api/v1/pools']
    const statuses = await Promise.all(paths.map(async (path) => (await release.ask('admin', path)).status))
    return statuses.join() === '200,401' ? undefined : `they were answered ${statuses.join()}`
  })
  await session.check(GROUP, 'says nothing of a place that it cannot write to', async () => {
    const lines = pod
      .log()
      .split('\n')
      .filter((line) => /EROFS|EACCES|EPERM|read-only/i.test(line))
    return lines.length === 0 ? undefined : lines.join('\n')
  })
  await pod.server.stop()
}

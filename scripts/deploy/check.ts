/**
 * `npm run check:deploy`: the unit of systemd, the compose file, and the Helm chart and its plain manifests, tried with Helm, kubeconform, and a real
 * API server on etcd, in which the gateway runs as the chart would have it run. `--write` renders the manifests anew. Exits with 1 where something fails.
 */
import { killAll } from '../../interop/suite/marked.ts'
import { progress, table } from '../../interop/suite/progress.ts'
import { runSystem, type System } from '../../interop/suite/session.ts'
import { tryChart, writeManifests } from './chart.ts'
import { startAudited } from './cluster.ts'
import { tryCompose } from './compose.ts'
import { tryDefaultPod } from './default-pod.ts'
import { definitions } from './definitions.ts'
import { tryExternalMetrics } from './external-metrics.ts'
import { buildHelm } from './helm.ts'
import { tryInstall } from './install.ts'
import { tryScalingPod } from './scaling-pod.ts'
import { tryUnit } from './unit.ts'

const isWriting = process.argv.includes('--write')

const deploy: System = {
  name: 'deploy',
  title: 'The Helm chart and its manifests',
  guide: 'kubernetes.md',
  async run(session) {
    const helm = await buildHelm(session)
    if (isWriting) return writeManifests(helm)
    const others = await definitions(session)
    await tryUnit(session)
    await tryCompose(session)
    await tryChart(session, helm, others)
    const audited = await startAudited(session, others)
    await tryInstall(session, helm, audited)
    await tryDefaultPod(session, helm, audited)
    await tryScalingPod(session, helm, audited)
    await tryExternalMetrics(session, helm, audited)
    // It takes ten seconds to leave, for clients that are no more.
    await audited.cluster.apiserver.kill()
  },
}

process.on('exit', killAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))
const result = await runSystem(deploy, { ...progress(deploy), recording: false })
process.stdout.write(`\n${table(new Map([[deploy.name, result]]))}\n`)
if (result.skipped !== undefined || result.checks.some(({ outcome }) => outcome === 'fails'))
  process.exitCode = 1

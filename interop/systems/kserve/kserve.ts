/** KServe's own server around a PyTorch network. */
import type { System } from '../../suite/session.ts'
import { KSERVE } from '../environments.ts'
import { KSERVE_DIFFERENCES, tryKserve } from './kserve-server.ts'

export const kserve: System = {
  name: 'kserve',
  title: "KServe's own server, a PyTorch network over V1 and V2",
  guide: 'servers/kserve.md',
  differences: KSERVE_DIFFERENCES,
  async run(session) {
    const python = await session.python(KSERVE, ['kserve', 'torch', 'tritonclient'])
    await tryKserve(session, {
      python,
      network: 'torch',
      shown: 'python interop/systems/kserve/server.py 8080 8081 torch',
    })
  },
}

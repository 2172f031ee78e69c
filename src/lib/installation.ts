/** Where this installation is: the folder of its package.json, be it run from its sources or as built. */
import { findPackageJSON } from 'node:module'
import { dirname } from 'node:path'

export const INSTALLATION: string = dirname(findPackageJSON('.', import.meta.url) as string)

/** `postern version`: what this executable is. It loads nothing, so that it answers at once. */
import { commit, version } from '../base/build.ts'
import { readFlags } from './flags.ts'
import type { Io } from './io.ts'

export async function versionCommand(argv: readonly string[], io: Io): Promise<number> {
  const { values } = readFlags(argv, { json: { type: 'boolean' } })
  const platform = `${process.platform}-${process.arch}`
  const bun = Bun.version
  if (values.json) io.out(JSON.stringify({ version, commit, bun, platform }))
  else io.out(`postern ${version} (commit ${commit}, Bun ${bun}, ${platform})`)
  return 0
}

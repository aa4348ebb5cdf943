/** Runs a short command to its end and says what it said when it fails. */

export interface CommandOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly uid?: number
  readonly gid?: number
}

export interface CommandResult {
  /** Exit status; 128 and the signal's number where a signal ended it. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs `argv` and returns how it went, whatever the status. */
export async function run(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = Bun.spawn([...argv], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    ...definedOnly(options),
  })
  const [stdout, stderr, status] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  return { status, stdout, stderr }
}

/** Runs `argv` and throws, with what it wrote, unless it succeeds. */
export async function mustRun(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await run(argv, options)
  if (status === 0) return stdout
  throw new Error(`${argv.join(' ')}: exit status ${status}\n${stderr || stdout}`.trimEnd())
}

/** Bun reads a key that is there but undefined as a wrong value, so such keys are left out. */
function definedOnly(options: CommandOptions) {
  const { cwd, env, uid, gid } = options
  return {
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env: { ...env } }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  }
}

/** Python computes, behind `arssr view`; docs/view.md has its requests. */

import type { Asked, Backend, Estimate, Kind, Run, Scan, State } from './backend';

const EVERY = 500; // ms between two looks at what has become of scans and runs

/** Enter with the token of the address, which is good for once and does not stay there. */
export async function pythonBackend(): Promise<Backend> {
  const token = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
  const { session } = await json<{ session: string }>('', 'POST', 'session', { token });
  return new Python(session);
}

class Python implements Backend {
  readonly gives: readonly Kind[] = [
    'nifti',
    'cubic',
    'uncertainty',
    'dicom',
    'report',
    'sidecar',
  ];
  readonly reads = 'NIfTI, DICOM (a folder or .zip), NRRD, MetaImage, MGH';
  readonly privacy = 'Nothing leaves this machine.';

  constructor(private readonly session: string) {}

  watch(hear: (state: State) => void, fail: (sentence: string) => void): void {
    let heard = '';
    const look = async (): Promise<void> => {
      try {
        const said = await (await call(this.session, 'GET', 'state')).text();
        if (said !== heard) hear(JSON.parse(said) as State);
        heard = said;
      } catch (error) {
        heard = '';
        fail((error as Error).message);
      }
      setTimeout(look, EVERY);
    };
    void look();
  }

  async send(files: readonly File[]): Promise<void> {
    const folder = files[0].webkitRelativePath.split('/')[0];
    const { id } = await this.json<Scan>('POST', 'scans', { name: folder || files[0].name });
    try {
      for (const file of files) {
        const path = `scans/${id}/files?name=${encodeURIComponent(file.name)}`;
        await call(this.session, 'POST', path, file);
      }
      await this.json('POST', `scans/${id}/end`);
    } catch (error) {
      await this.removeScan(id).catch(() => undefined); // it would be arriving for ever
      throw error;
    }
  }

  async choose(scan: string, series: string): Promise<void> {
    await this.json('POST', `scans/${scan}/series`, { series });
  }

  async image(scan: string): Promise<ArrayBuffer> {
    return (await call(this.session, 'GET', `scans/${scan}/image`)).arrayBuffer();
  }

  async estimate(scan: string, asked: Asked): Promise<Estimate> {
    const said = await this.json<Estimate>('POST', `scans/${scan}/estimate`, asked);
    return { ...said, notes: said.notes ?? [], warnings: said.warnings ?? [] };
  }

  start(scan: string, asked: Asked, seconds?: number): Promise<Run> {
    return this.json('POST', `scans/${scan}/runs`, { ...asked, seconds });
  }

  async cancel(run: string): Promise<void> {
    await this.json('POST', `runs/${run}/cancel`);
  }

  async file(run: string, kind: Kind): Promise<{ blob: Blob; name: string }> {
    const answer = await call(this.session, 'GET', `runs/${run}/${kind}`);
    return { blob: await answer.blob(), name: nameOf(answer, kind) };
  }

  async removeScan(scan: string): Promise<void> {
    await this.json('DELETE', `scans/${scan}`);
  }

  async removeRun(run: string): Promise<void> {
    await this.json('DELETE', `runs/${run}`);
  }

  private json<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    return json(this.session, method, path, body);
  }
}

async function json<Answer>(
  session: string,
  method: string,
  path: string,
  body?: object,
): Promise<Answer> {
  const answer = await call(session, method, path, body && JSON.stringify(body));
  return (await answer.json()) as Answer;
}

async function call(
  session: string,
  method: string,
  path: string,
  body?: BodyInit,
): Promise<Response> {
  const headers = { Authorization: `Bearer ${session}` };
  const answer = await fetch(`api/${path}`, { method, headers, body }).catch(() => {
    throw new Error('The server has ended; start arssr view again.');
  });
  if (answer.ok) return answer;
  const said = (await answer.json().catch(() => ({}))) as { error?: string };
  throw new Error(said.error ?? `The server answers with ${answer.status}.`);
}

/** The name that the server gives a download. */
function nameOf(answer: Response, kind: Kind): string {
  const said = answer.headers.get('content-disposition') ?? '';
  const [, encoded, plain] = /filename(?:\*=utf-8''([^;]+)|="([^"]+)")/i.exec(said) ?? [];
  return encoded ? decodeURIComponent(encoded) : (plain ?? kind);
}

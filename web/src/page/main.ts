/** The page: what is sent, seen, computed and taken home. */

import { Bar } from './bar';
import type { Backend, Kind, Run, Scan, State } from './backend';
import { button, h, key } from './dom';
import { filesOf, scansAmong } from './drop';
import { help } from './help';
import { listenToKeys } from './keys';
import { Panel } from './panel';
import { Tabs } from './tabs';
import { TargetForm } from './target';
import { listen } from './viewer/gestures';
import { pictureOf } from './viewer/picture';
import { Overlay } from './overlay';
import { LOST } from './viewer/textures';
import { Viewer } from './viewer/viewer';
import { sentence } from './words';

/** Build the page around whatever computes; where that cannot begin, say why. */
export async function open(begin: () => Promise<Backend>): Promise<void> {
  try {
    const page = new Page(await begin());
    await page.start();
  } catch (error) {
    const said = h(
      'p',
      { className: 'notice warning', role: 'alert' },
      sentence((error as Error).message),
    );
    document.body.replaceChildren(h('main', { className: 'alone' }, h('h1', {}, 'ArSSR'), said));
  }
}

class Page {
  private state: State = { model: '', scans: [], runs: [] };
  private selected = '';
  private isSending = false; // a scan that was dropped here has not been heard of yet
  private isStarting = false;
  private isLost = false; // whatever computes does not answer
  /** The scan, and the run, whose images are seen. */
  private seen = { scan: '', run: '' };
  private pending = new Set<string>(); // runs that were not done when the state was heard last
  private known = new Set<string>(); // scans that were there then
  private loads: Promise<void> = Promise.resolve();
  private forms = new Map<string, TargetForm>();
  private cubic: Promise<boolean> | undefined;
  private readonly viewer = new Viewer();
  private readonly need = (): Promise<boolean> => (this.cubic ??= this.loadCubic());
  private readonly bar = new Bar(this.viewer, this.need);
  private readonly panel: Panel;
  private readonly canvas = h('canvas', {
    tabIndex: 0,
    aria: { label: 'Axial, coronal and sagittal slices' },
  });
  private readonly overlay = new Overlay(this.viewer, this.bar.legend, this.bar.fit);
  private readonly tabs = new Tabs({
    select: (scan) => this.select(scan),
    add: () => this.file.click(),
  });
  private readonly message = h('p', {
    className: 'notice warning message',
    role: 'alert',
    hidden: true,
  });
  private readonly file = h('input', { type: 'file', multiple: true, hidden: true, id: 'file' });
  private readonly folder = h('input', {
    type: 'file',
    webkitdirectory: true,
    hidden: true,
    id: 'folder',
  });
  private readonly help = help();
  private readonly welcome: HTMLElement;

  constructor(private readonly backend: Backend) {
    this.panel = new Panel(backend, {
      run: () => this.run(),
      cancel: (run) => this.trying(() => backend.cancel(run.id)),
      compare: (run) => this.trying(() => this.inTurn(() => this.compare(run))),
      save: (run, kind) => this.trying(() => this.save(run, kind)),
      removeRun: (run) => this.trying(() => backend.removeRun(run.id)),
      removeScan: (scan) => this.trying(() => backend.removeScan(scan.id)),
      choose: (scan, series) => this.trying(() => backend.choose(scan.id, series)),
    });
    this.welcome = this.invitation();
  }

  async start(): Promise<void> {
    const { canvas, viewer, bar, panel } = this;
    const ask = button('?', () => this.help.showModal(), {
      className: 'quiet',
      title: 'Keys (?)',
      aria: { label: 'Keys' },
    });
    const head = h(
      'header',
      { className: 'head' },
      h('h1', {}, 'ArSSR'),
      this.tabs.element,
      h('p', { className: 'soft' }, this.backend.privacy),
      ask,
    );
    const picture = h('div', { className: 'picture' }, canvas, this.overlay.element);
    const main = h(
      'main',
      {},
      h('section', { className: 'stage', aria: { label: 'Picture' } }, picture, bar.element),
      panel.element,
    );
    document.body.replaceChildren(
      head,
      this.message,
      this.welcome,
      main,
      this.file,
      this.folder,
      this.help,
    );
    await viewer.begin(canvas);
    viewer.onChange = () => {
      bar.refresh();
      this.overlay.refresh();
    };
    listen(canvas, viewer);
    canvas.addEventListener('webglcontextlost', () => this.say(LOST));
    this.listenToFiles();
    listenToKeys(viewer, bar, this.need, {
      run: () => this.run(),
      cancel: () => this.cancelThis(),
      save: () => this.saveThis(),
      next: () => this.next(),
      open: () => this.file.click(),
      help: () => this.help.showModal(),
    });
    this.refresh();
    this.backend.watch(
      (state) => this.hear(state),
      (words) => {
        this.isLost = true;
        this.say(words);
      },
    );
  }

  private invitation(): HTMLElement {
    return h(
      'section',
      { className: 'welcome' },
      h('h2', {}, 'Drop a scan'),
      h('p', {}, this.backend.reads),
      h(
        'div',
        { className: 'choices' },
        button('Choose files', () => this.file.click(), { className: 'run' }, ' ', key('O')),
        button('Choose a folder', () => this.folder.click()),
      ),
      h('p', { className: 'soft' }, `${this.backend.privacy} Not a medical device.`),
    );
  }

  // ---- what is heard ---------------------------------------------------------------------

  private hear(state: State): void {
    this.state = state;
    if (this.isLost) this.say('');
    this.isLost = false;
    const fresh = state.scans.find(({ id }) => !this.known.has(id));
    const isHere = state.scans.some(({ id }) => id === this.selected);
    this.known = new Set(state.scans.map(({ id }) => id));
    if (fresh && (this.isSending || !isHere)) {
      this.selected = fresh.id;
      this.isSending = false; // of several, the first is seen
    } else if (!isHere) this.selected = state.scans.at(-1)?.id ?? '';
    for (const id of this.forms.keys()) {
      if (!state.scans.some((scan) => scan.id === id)) this.forms.delete(id);
    }
    const done = state.runs.find(
      ({ id, scan, state: now }) =>
        now === 'done' && scan === this.selected && this.pending.has(id),
    );
    const pending = state.runs.filter((run) => run.state === 'waiting' || run.state === 'running');
    this.pending = new Set(pending.map(({ id }) => id));
    void this.trying(() => this.inTurn(() => this.look(done)), false);
    this.refresh();
  }

  /** Images are loaded one after the other, so that the last one asked for is seen in the end. */
  private inTurn(load: () => Promise<void>): Promise<void> {
    const turn = this.loads.then(load);
    this.loads = turn.catch(() => undefined);
    return turn;
  }

  /** See what is selected, and a result of it if there is one. */
  private async look(done?: Run): Promise<void> {
    const scan = this.scan;
    if (scan?.state !== 'ready') return;
    const forgotten = this.seen.run && !this.state.runs.some(({ id }) => id === this.seen.run);
    if (this.seen.scan !== scan.id || (forgotten && !done)) {
      this.seen = { scan: scan.id, run: '' };
      this.cubic = undefined;
      this.viewer.clear();
      const picture = await pictureOf(await this.backend.image(scan.id));
      await this.viewer.show(picture);
      const last = this.state.runs
        .filter((run) => run.scan === scan.id && run.state === 'done')
        .at(-1);
      if (!done && last && last.id !== this.seen.run && !forgotten) return this.compare(last);
    }
    if (done?.scan === scan.id) await this.compare(done);
    this.refresh();
  }

  private async compare(run: Run): Promise<void> {
    this.seen = { scan: run.scan, run: run.id };
    this.cubic = undefined;
    this.refresh();
    const { blob } = await this.backend.file(run.id, 'nifti');
    const picture = await pictureOf(await blob.arrayBuffer());
    if (this.seen.run !== run.id) return;
    await this.viewer.compare(picture);
    this.refresh();
    void this.need();
    if (run.asked.uncertainty) await this.addHalfWidths(run);
  }

  private async addHalfWidths(run: Run): Promise<void> {
    const { blob } = await this.backend.file(run.id, 'uncertainty');
    const picture = await pictureOf(await blob.arrayBuffer());
    if (this.seen.run === run.id) this.viewer.addHalfWidths(picture);
  }

  private async loadCubic(): Promise<boolean> {
    const { run } = this.seen;
    if (!run || !this.backend.gives.includes('cubic')) return false;
    try {
      const { blob } = await this.backend.file(run, 'cubic');
      const picture = await pictureOf(await blob.arrayBuffer());
      if (this.seen.run !== run || !this.viewer.has('result')) return false;
      this.viewer.addCubic(picture);
      return true;
    } catch (error) {
      this.cubic = undefined;
      if (this.seen.run === run) this.say((error as Error).message);
      return false;
    }
  }

  private get scan(): Scan | undefined {
    return this.state.scans.find(({ id }) => id === this.selected);
  }

  private get form(): TargetForm | undefined {
    const scan = this.scan;
    if (scan?.state !== 'ready') return undefined;
    const known = this.forms.get(scan.id);
    if (known) return known;
    const made = new TargetForm(this.backend, scan, () => this.refresh());
    this.forms.set(scan.id, made);
    made.refresh();
    return made;
  }

  /** What is computed, or waits, for the scan that is selected. */
  private get underWay(): Run | undefined {
    return this.state.runs.find(
      (run) => run.scan === this.selected && ['running', 'waiting'].includes(run.state),
    );
  }

  private refresh(): void {
    const { scan, state, form } = this;
    form?.offer(state.scans);
    this.welcome.hidden = state.scans.length > 0;
    const isSeen = Boolean(scan && this.seen.scan === scan.id && this.viewer.has('scan'));
    document.body.classList.toggle('empty', !state.scans.length);
    document.body.classList.toggle('blank', !isSeen);
    this.bar.show(isSeen);
    this.overlay.refresh();
    this.panel.refresh(state, scan, form, this.seen.run);
    this.tabs.refresh(state, this.selected);
    const run = state.runs.find((each) => each.state === 'running');
    const share = run?.share === undefined ? '' : `${Math.round(100 * run.share)} % · `;
    document.title = `${share}${scan ? `${scan.name} · ` : ''}ArSSR`;
  }

  private select(scan: Scan): void {
    this.selected = scan.id;
    void this.trying(() => this.inTurn(() => this.look()));
    this.refresh();
  }

  private next(): void {
    const { scans } = this.state;
    const at = scans.findIndex(({ id }) => id === this.selected);
    if (scans.length) this.select(scans[(at + 1) % scans.length]);
  }

  // ---- what is done ----------------------------------------------------------------------

  private run(): void {
    const { scan, form } = this;
    if (!scan || !form?.estimate || this.isStarting || this.underWay) return;
    this.isStarting = true;
    void this.trying(async () => {
      try {
        const run = await this.backend.start(scan.id, form.asked, form.estimate?.seconds);
        const runs = this.state.runs.filter(({ id }) => id !== run.id);
        if (runs.length === this.state.runs.length)
          this.hear({ ...this.state, runs: [...runs, run] });
      } finally {
        this.isStarting = false;
      }
    });
  }

  private cancelThis(): void {
    const under = this.underWay;
    if (under) void this.trying(() => this.backend.cancel(under.id));
    else this.say('');
  }

  private saveThis(): void {
    const run = this.state.runs.find(({ id, state }) => id === this.seen.run && state === 'done');
    if (run) void this.trying(() => this.save(run, 'nifti'));
  }

  private async save(run: Run, kind: Kind): Promise<void> {
    const { blob, name } = await this.backend.file(run.id, kind);
    const link = h('a', { download: name, href: URL.createObjectURL(blob) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  private async send(files: readonly File[]): Promise<void> {
    await this.trying(async () => {
      const scans = scansAmong(files);
      this.isSending = true;
      const refused: string[] = [];
      for (const scan of scans) {
        await this.backend.send(scan).catch((error: Error) => refused.push(sentence(error.message)));
      }
      if (refused.length === scans.length) this.isSending = false;
      if (refused.length) throw new Error(refused.join(' '));
    });
  }

  private listenToFiles(): void {
    for (const input of [this.file, this.folder]) {
      input.onchange = () => {
        const files = [...(input.files ?? [])];
        input.value = '';
        if (files.length) void this.send(files);
      };
    }
    const isOver = (is: boolean) => document.body.classList.toggle('over', is);
    addEventListener('dragover', (event) => {
      event.preventDefault();
      isOver(true);
    });
    addEventListener('dragleave', (event) => {
      if (!event.relatedTarget) isOver(false);
    });
    addEventListener('drop', (event) => {
      event.preventDefault();
      isOver(false);
      const dropped = event.dataTransfer;
      if (dropped?.files.length) void filesOf(dropped).then((files) => this.send(files));
    });
  }

  /** What goes wrong is said, until a person does something else. */
  private async trying(work: () => Promise<unknown>, isAsked = true): Promise<void> {
    if (isAsked) this.say('');
    try {
      await work();
    } catch (error) {
      this.say((error as Error).message);
    }
  }

  private say(words: string): void {
    this.message.hidden = !words;
    const close = button('×', () => this.say(''), {
      className: 'quiet',
      aria: { label: 'Close' },
    });
    this.message.replaceChildren(...(words ? [sentence(words), close] : []));
  }
}

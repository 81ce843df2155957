/** Draws with WebGL2: the weights of each cell lie in a uniform buffer, and every pixel evaluates its cell's network. */
import { Painter } from "./painter.js";
import { columnsOf, fragment, packed, ACROSS, DOWN, UNPACK, VERTEX } from "./shader.js";

export class WebGLPainter extends Painter {
  /** Throws an error where there is no WebGL2, or where a network is too large for it. */
  constructor(model, canvas) {
    super(model, canvas);
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("this browser has no WebGL2");
    this.gl = gl;
    this.#begin();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.#begin());
  }

  #begin() {
    const { gl } = this;
    this.programs = new Map();
    this.buffer = gl.createBuffer();
    this.texture = gl.createTexture(); // the picture, several pixels a texel
    this.framebuffer = gl.createFramebuffer();
    this.unit = gl.getParameter(gl.UNIFORM_BUFFER_OFFSET_ALIGNMENT) / 4;
    const most = gl.getParameter(gl.MAX_UNIFORM_BLOCK_SIZE) / 16;
    const { plain, detail } = this.model.renderers;
    for (const { config } of [plain, ...(detail ? [detail] : [])])
      if (columnsOf(config) > most) throw new Error("its networks are too large for WebGL2 here");
    this.renderer = plain;
    this.#program(1); // throws an error where the shader cannot be used
    this.forget();
  }

  /** Uploads the weights of cells that changed. */
  prepare(state, cells, whole) {
    const { gl, renderer } = this;
    const size = columnsOf(renderer.config) * 4;
    const stride = Math.ceil(size / this.unit) * this.unit;
    if (whole) this.#lay();
    Object.assign(this, { size, stride, state, done: [], drawnAs: new Map() });
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    gl.viewport(0, 0, this.blocks.width, this.blocks.height);
    gl.bindBuffer(gl.UNIFORM_BUFFER, this.buffer);
    if (whole) {
      const all = new Float32Array(stride * state.cells);
      for (const cell of cells) this.#pack(state, cell, all.subarray(cell * stride, cell * stride + size));
      gl.bufferData(gl.UNIFORM_BUFFER, all, gl.DYNAMIC_DRAW);
    } else {
      const one = new Float32Array(size);
      for (const cell of cells) {
        this.#pack(state, cell, one);
        gl.bufferSubData(gl.UNIFORM_BUFFER, cell * stride * 4, one);
      }
    }
  }

  /** Lays out the texture: each band begins with a block of its own. */
  #lay() {
    const { gl, x, y } = this;
    const lay = (bands, side) =>
      bands.reduce((sum, band) => {
        band.block = sum;
        band.blocks = Math.ceil((band.beyond - band.first) / side);
        return sum + band.blocks;
      }, 0);
    this.blocks = { width: lay(x.bands, ACROSS), height: lay(y.bands, DOWN) };
    const { width, height } = this.blocks;
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.texture);
    gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.texImage3D(gl.TEXTURE_2D_ARRAY, 0, gl.RGBA32UI, width, height, DOWN, 0, gl.RGBA_INTEGER, gl.UNSIGNED_INT, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    const outputs = Array.from({ length: DOWN }, (_, row) => gl.COLOR_ATTACHMENT0 + row);
    outputs.forEach((output, row) => gl.framebufferTextureLayer(gl.FRAMEBUFFER, output, this.texture, 0, row));
    gl.drawBuffers(outputs);
  }

  #pack(state, cell, target) {
    packed(this.renderer.weights(state, cell), this.renderer.config, this.mask, target);
  }

  /** Draws a rectangle of pixels that some cells draw together; once where several are alike. */
  rectangle(rows, cols, drawers) {
    const { gl, x, y } = this;
    const as = this.#alike(rows, cols, drawers);
    this.done.push({ rows, cols, block: this.drawnAs.get(as) ?? [cols.block, rows.block] });
    if (this.drawnAs.has(as)) return;
    this.drawnAs.set(as, [cols.block, rows.block]);
    const { program, uniforms } = this.#program(drawers.length);
    gl.useProgram(program);
    drawers.forEach(({ cell }, i) =>
      gl.bindBufferRange(gl.UNIFORM_BUFFER, i, this.buffer, cell * this.stride * 4, this.size * 4),
    );
    const places = drawers.flatMap(({ row, col }) => [2 * x.step, 2 * y.step, x.coordinate(-0.5, col), y.coordinate(-0.5, row)]);
    gl.uniform4fv(uniforms.places, places);
    const down = [0, y.step * y.strip, y.share(-0.5, rows)];
    gl.uniform3fv(uniforms.across, cols.blended ? [x.step * x.strip, 0, x.share(-0.5, cols)] : down);
    gl.uniform3fv(uniforms.down, down);
    gl.uniform4f(uniforms.start, cols.first, rows.first, cols.block, rows.block);
    this.#quad(uniforms, [cols.block, cols.block + cols.blocks, this.blocks.width], [rows.block, rows.block + rows.blocks, this.blocks.height]);
  }

  /** A text that is the same for rectangles whose pixels are: equal states, sizes, and places in their cells. */
  #alike(rows, cols, drawers) {
    const { x, y, state } = this;
    const [{ row, col }] = drawers;
    const size = [rows.beyond - rows.first, cols.beyond - cols.first];
    const place = [y.coordinate(rows.first, row), x.coordinate(cols.first, col)].map((each) => each.toFixed(9));
    const states = drawers.map(({ cell }) => state.data.subarray(cell * state.channels, (cell + 1) * state.channels).join());
    return [...size, ...place, rows.blended, cols.blended, ...states].join();
  }

  /** Unpacks onto the canvas what was drawn. */
  finish() {
    const { gl, canvas, done } = this;
    const { width, height } = canvas;
    const { program, uniforms } = this.#program(0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, width, height);
    gl.useProgram(program);
    gl.uniform1f(uniforms.height, height);
    for (const { rows, cols, block } of done) {
      gl.uniform4f(uniforms.start, cols.first, rows.first, ...block);
      this.#quad(uniforms, [cols.first, cols.beyond, width], [height - rows.beyond, height - rows.first, height]);
    }
    gl.flush();
  }

  /** Draws a rectangle of a target: along each axis where it begins and ends, and the target's size. */
  #quad(uniforms, [left, right, width], [low, high, height]) {
    const { gl } = this;
    gl.uniform4f(uniforms.corners, (2 * left) / width - 1, (2 * low) / height - 1, (2 * right) / width - 1, (2 * high) / height - 1);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  /** The program for rectangles of so many networks, 0 for that which unpacks; made when it is first needed. */
  #program(networks) {
    const key = `${this.renderer === this.model.renderers.detail}${networks}`;
    if (!this.programs.has(key)) {
      const { gl } = this;
      const program = gl.createProgram();
      const logs = [];
      for (const [kind, text] of [
        [gl.VERTEX_SHADER, VERTEX],
        [gl.FRAGMENT_SHADER, networks ? fragment(this.renderer.config, networks) : UNPACK],
      ]) {
        const shader = gl.createShader(kind);
        gl.shaderSource(shader, text);
        gl.compileShader(shader);
        gl.attachShader(program, shader);
        logs.push(gl.getShaderInfoLog(shader));
      }
      gl.linkProgram(program);
      if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
        throw new Error("the shader cannot be used in this browser", { cause: logs.join("\n") });
      for (let i = 0; i < networks; i++)
        gl.uniformBlockBinding(program, gl.getUniformBlockIndex(program, `Network${i}`), i);
      const at = (name) => gl.getUniformLocation(program, name);
      const names = ["corners", "places", "across", "down", "start", "height"];
      const uniforms = Object.fromEntries(names.map((name) => [name, at(name)]));
      this.programs.set(key, { program, uniforms });
    }
    return this.programs.get(key);
  }
}

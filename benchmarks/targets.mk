# Each target writes its part of benchmarks/RESULTS.md, and fits a quiet machine only.

##@ Measure (each writes its part of benchmarks/RESULTS.md)

.PHONY: bench bench-peers bench-stages bench-forward bench-methods bench-presets bench-every bench-devices bench-startup bench-memory bench-long bench-latency bench-cameras bench-leaks bench-scaling bench-faithfulness bench-tf-explain bench-training bench-filters bench-record bench-encoders bench-cluster
bench: bench-forward bench-stages bench-presets bench-peers bench-methods bench-every bench-devices bench-startup bench-long bench-memory bench-latency  ## Measure all that depends on speed; two hours

bench-peers: .venv/installed  ## Compare with tf-explain, tf-keras-vis and pytorch-grad-cam
	$(BIN)/python benchmarks/peers.py

bench-stages: .venv/installed  ## Time each stage alone and all together, against the bound
	$(BIN)/python benchmarks/stages.py

bench-forward: .venv/installed  ## Compare the bare forward pass with OpenVINO
	$(BIN)/python benchmarks/forward.py

bench-methods: .venv/installed  ## Time each method, and Grad-CAM by itself against peers
	$(BIN)/python benchmarks/methods.py

bench-presets: .venv/installed  ## Compare x264 presets: CPU time, size, PSNR, SSIM
	$(BIN)/python benchmarks/presets.py

bench-every: .venv/installed  ## Compare maps with those of every frame when fewer are explained
	$(BIN)/python benchmarks/every.py

bench-devices: .venv/installed  ## Run one, two and four replicas
	$(BIN)/python benchmarks/devices.py

bench-startup: .venv/installed  ## Time from process start to the first batch
	$(BIN)/python benchmarks/startup.py

bench-memory: .venv/installed  ## Compare peak memory on one minute and on ten
	$(BIN)/python benchmarks/memory.py

bench-long: .venv/installed  ## Track cost and memory over half an hour of video
	$(BIN)/python benchmarks/long.py

bench-latency: .venv/installed-dev  ## Measure live latency; half an hour
	$(BIN)/python benchmarks/latency.py

bench-cameras: .venv/installed-dev  ## Measure live runs of 12 to 32 cameras; four minutes
	$(BIN)/python benchmarks/cameras.py --write

bench-leaks: .venv/installed  ## Track memory over 1,000 explainers
	$(BIN)/python benchmarks/leaks.py

bench-scaling: .venv/installed  ## Measure the speed-up by cores, devices and inputs at once
	$(BIN)/python benchmarks/scaling.py

bench-record: .venv/installed  ## Time recording, and drawing from a record
	$(BIN)/python benchmarks/record.py

bench-encoders: .venv/installed  ## Compare one encoder with several on segments
	$(BIN)/python benchmarks/encoders.py

bench-cluster: .venv/installed-dev  ## Compare a cluster of two local nodes with one machine
	$(BIN)/python benchmarks/cluster.py

bench-faithfulness: .venv/installed  ## Compute deletion and insertion areas of each method
	$(BIN)/python benchmarks/faithfulness.py

bench-tf-explain: .venv/installed  ## Compare the maps of each method of tf-explain
	$(BIN)/python benchmarks/tf_explain_maps.py

bench-training: .venv/installed-dev  ## Time the training callback, and watch its memory over 200 epochs
	$(BIN)/python benchmarks/training.py

bench-filters: .venv/installed  ## Compare filters with random images and natural patches
	$(BIN)/python benchmarks/filters.py

/* One file for all: they are one network. */
#include "clip.h"

DIPP_PLUGINS(&hps_plugin, &pickscore_plugin, &clipscore_plugin, &aesthetic_plugin)
